// bf16 is the upper half of a Float: its sign, its exponent, and 7 bits of its fraction.
#pragma once

// The upper halves of the nearest bf16 numbers, ties to even: half a unit of the last place is added, less a little if
// that place is even. Infinity stays, and what is too large becomes infinite by the carry; NaN, which the carry could
// spoil, stays NaN.
#define HALVED_BY_HAND(v)                                                                                              \
  ({                                                                                                                   \
    const MASK word = (MASK)(v), carried = word + 0x7fff + ((word >> 16) & 1), quiet = word | 0x400000;                \
    const MASK is_nan = (word & 0x7fffffff) > 0x7f800000;                                                              \
    __builtin_convertvector((((is_nan & quiet) | (~is_nan & carried)) >> 16) & 0xffff, HALVES);                        \
  })

// The same by one instruction, which takes subnormal numbers for 0.
typedef __bf16 sixteen_bfloat16 __attribute__((vector_size(32)));
#define HALVED_BY_INSTRUCTION(v) ((HALVES)__builtin_convertvector(v, sixteen_bfloat16))

#define EXPANDED(halves) ((VEC)(__builtin_convertvector(halves, MASK) << 16))
#define ROUNDED(v) EXPANDED(HALVED(v))
#define LOAD_HALVES(address) (*(const HALVES *)(address))
#define STORE_HALVES(address, value) (*(HALVES *)(address) = (value))
