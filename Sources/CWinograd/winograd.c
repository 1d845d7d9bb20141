#include "blocking.h"

// The kernels are written once, for vectors of LANES Floats, and compiled for each instruction set.

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(name, LANES)
#define VEC NAME(vector)
#define LOAD(address) (*(const VEC *)(address))
#define STORE(address, value) (*(VEC *)(address) = (value))
// Keeps the compiler from carrying dozens of addresses from one patch to the next.
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#define UNROLL _Pragma("clang loop unroll(full)")
#define INLINE static inline __attribute__((always_inline, target(TARGET)))
#define FUNCTION static __attribute__((noinline, target(TARGET)))

#if defined(__x86_64__)

#define LANES 8
#define TARGET "avx2,fma"
typedef float VEC __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#include "transforms.h"
#include "products.h"
#include "patches.h"
#include "passes.h"
#undef TARGET
#undef LANES

#define LANES 16
#define TARGET "avx512f,fma"
typedef float VEC __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#include "transforms.h"
#include "products.h"
#include "patches.h"
#include "passes.h"
#undef TARGET
#undef LANES

int winograd_supports(int block) {
  if (!__builtin_cpu_supports("fma")) return 0;
  return block == 16 ? __builtin_cpu_supports("avx512f") : block == 8 && __builtin_cpu_supports("avx2");
}

void winograd_forward(
    const winograd_shape *shape, const float *x, const float *weight, int transposed, const float *bias, float *y,
    int samples, float *scratch) {
  (shape->block == 16 ? forward_16 : forward_8)(shape, x, weight, transposed, bias, y, samples, scratch);
}

void winograd_backward_weights(
    const winograd_shape *shape, const float *x, const float *dy, float *d_weight, float *d_bias, int samples,
    float *scratch) {
  (shape->block == 16 ? backward_weights_16 : backward_weights_8)(
      shape, x, dy, d_weight, d_bias, samples, scratch);
}

#else

int winograd_supports(int block) { return 0; }

void winograd_forward(
    const winograd_shape *shape, const float *x, const float *weight, int transposed, const float *bias, float *y,
    int samples, float *scratch) {
  __builtin_trap();
}

void winograd_backward_weights(
    const winograd_shape *shape, const float *x, const float *dy, float *d_weight, float *d_bias, int samples,
    float *scratch) {
  __builtin_trap();
}

#endif

size_t winograd_scratch(const winograd_shape *shape, int samples) {
  const long points = (shape->tile + 2) * (shape->tile + 2), tiles = grid_of(shape, samples).tiles;
  const blocking f = blocking_of(shape, tiles);
  const gradient_blocking b = gradient_blocking_of(shape, tiles);
  const long panels = (shape->outputs + f.panel - 1) / f.panel, chunks = (shape->inputs + f.chunk - 1) / f.chunk;
  const long forward = f.input_apart + f.output_apart + f.weight_apart * (f.tiles < tiles ? panels * chunks : 1);
  const long backward = b.input_apart + b.output_apart + b.weight_apart;
  return (size_t)(points * (forward > backward ? forward : backward));
}
