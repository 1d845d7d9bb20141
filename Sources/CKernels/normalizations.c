// Normalizations, and with them activation functions and rounding: what reads or writes bf16 numbers.
#include "kernels.h"

#define KERNELS "normalizations.h"
#define HALVED HALVED_BY_HAND
#include "variants.h"

// Rounding by an instruction.
#undef HALVED
#define HALVED HALVED_BY_INSTRUCTION
#define VARIANT avx512_bf16
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,fma")))
#include "variant.h"

#define CHOOSE_ROUNDING(name, block)                                                                                   \
  (block == 16 && __builtin_cpu_supports("avx512bf16") ? name##_avx512_bf16 : CHOOSE(name, block))

void bfloat16_round(int block, const float *x, float *y, uint16_t *kept, ptrdiff_t count) {
  CHOOSE_ROUNDING(round_floats, block)(x, y, kept, count);
}

void bfloat16_expand(int block, const uint16_t *kept, float *y, ptrdiff_t count) {
  CHOOSE_ROUNDING(expand_halves, block)(kept, y, count);
}

void activation_forward(
    int block, activation_function function, const float *x, float *y, ptrdiff_t count) {
  CHOOSE(activate, block)(function, x, y, count);
}

void activation_backward(
    int block, activation_function function, const float *dy, const float *y, float *dx, ptrdiff_t count) {
  CHOOSE(activate_backward, block)(function, dy, y, dx, count);
}

double exponentials(int block, const float *x, float largest, float *y, ptrdiff_t count) {
  return CHOOSE(exponentials, block)(x, largest, y, count);
}

void channel_moments(const norm_shape *shape, activation x, int samples, double *sums) {
  CHOOSE_ROUNDING(moments, shape->block)(shape, x, samples, sums);
}

void channel_gradient_sums(
    const norm_shape *shape, activation_function function, activation dy, activation y, activation x,
    const float *mean, activation dz, activation dz_again, int samples, double *sums) {
  CHOOSE_ROUNDING(gradient_sums, shape->block)(shape, function, dy, y, x, mean, dz, dz_again, samples, sums);
}

void normalize_forward(
    const norm_shape *shape, activation_function function, activation x, const float *mean, const float *scale,
    const float *bias, activation residual, activation y, int samples) {
  CHOOSE_ROUNDING(normalize, shape->block)(shape, function, x, mean, scale, bias, residual, y, samples);
}

void normalize_backward(
    const norm_shape *shape, activation dz, activation x, const float *mean, const float *scale, const float *shift,
    const float *slope, int scales_last, activation dx, int samples) {
  CHOOSE_ROUNDING(normalize_backward, shape->block)(
      shape, dz, x, mean, scale, shift, slope, scales_last, dx, samples);
}

void normalize_and_pool(
    const pooling_shape *shape, activation x, const float *mean, const float *scale, const float *bias, int rectifies,
    activation y, uint8_t *largest_at, int samples) {
  CHOOSE_ROUNDING(normalize_pool, shape->block)(
      shape, x, mean, scale, bias, rectifies, y, largest_at, samples);
}

void pooled_gradient_sums(
    const pooling_shape *shape, activation dy, const uint8_t *largest_at, activation x, const float *mean,
    activation dz, int samples, double *sums) {
  CHOOSE_ROUNDING(pool_gradient_sums, shape->block)(shape, dy, largest_at, x, mean, dz, samples, sums);
}
