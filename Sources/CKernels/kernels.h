// How kernels are written, and chosen.
#pragma once
#include "CKernels.h"
#include "bfloat16.h"
#include "forms.h"
#include "phases.h"
#include "windows.h"
#include <string.h>

// The kernels are written once, for vectors of LANES Floats, and compiled for each set of instructions.

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(name, VARIANT)
#define VEC NAME(vector)
#define LOAD(address) (*(const VEC *)(address))
#define STORE(address, value) (*(VEC *)(address) = (value))
#define STREAM(address, value) __builtin_nontemporal_store((value), (NAME(aligned_vector) *)(address))
#define MASK NAME(mask)
#define HALVES NAME(halves)
#define BYTES NAME(bytes)
#define SELECT_MASK(which, a, b) (((a) & (which)) | ((b) & ~(which)))
#define SELECT(which, a, b) ((VEC)SELECT_MASK(which, (MASK)(a), (MASK)(b)))
#define UNROLL _Pragma("clang loop unroll(full)")
// Keeps the compiler from carrying dozens of addresses from one patch to the next.
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
// Nothing that takes or returns vectors is ever called, so that it does not matter how a call would pass them.
#pragma clang diagnostic ignored "-Wpsabi"
#define INLINE static inline __attribute__((always_inline)) TARGET
#define FUNCTION static __attribute__((noinline)) TARGET

// Blocks of 16 channels are made on processors with AVX-512 alone.
#define CHOOSE(name, block)                                                                                            \
  (block == 16                                                          ? name##_avx512                                \
   : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")    ? name##_avx2                                  \
                                                                        : name##_portable)
#define WIDEST_BLOCK (__builtin_cpu_supports("avx512f") ? 16 : 8)
