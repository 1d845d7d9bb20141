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

#define HALVED HALVED_BY_HAND

#define VARIANT portable
#define LANES 8
#define TARGET
#include "variant.h"

#define VARIANT avx2
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "variant.h"

#define VARIANT avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f,fma")))
#include "variant.h"

#define ONLY_ROUNDING
#undef HALVED
#define HALVED HALVED_BY_INSTRUCTION
#define VARIANT avx512_bf16
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,fma")))
#include "variant.h"

// Blocks of 16 channels are made on processors with AVX-512 alone.
#define CHOOSE(name, block)                                                                                            \
  (block == 16                                                          ? name##_avx512                                \
   : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")    ? name##_avx2                                  \
                                                                        : name##_portable)
#define WIDEST_BLOCK (__builtin_cpu_supports("avx512f") ? 16 : 8)
#define CHOOSE_ROUNDING(name, block)                                                                                   \
  (block == 16 && __builtin_cpu_supports("avx512bf16") ? name##_avx512_bf16 : CHOOSE(name, block))

void matrix_multiply(
    int block, const matrix *a, const matrix *b, const matrix *c, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t steps,
    int adds) {
  CHOOSE(multiply_all, block)(a, b, c, rows, columns, steps, adds);
}

void matrix_transpose(
    int block, const matrix *from, const matrix *to, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t first,
    ptrdiff_t end) {
  CHOOSE(transpose_some, block)(from, to, rows, columns, first, end);
}

float fused_multiply_adds(int block, long count) { return CHOOSE(multiply_adds, block)(count); }

void add_floats(int block, const float *a, const float *b, float *sum, ptrdiff_t count) {
  CHOOSE(add, block)(a, b, sum, count);
}

void sum_rows(
    int block, const float *x, const float *factors, ptrdiff_t rows, ptrdiff_t stride, float *sums, ptrdiff_t columns,
    int adds) {
  CHOOSE(sum_rows, block)(x, factors, rows, stride, sums, columns, adds);
}

void add_rows(const double *rows, ptrdiff_t width, const ptrdiff_t *merges, ptrdiff_t count, double *sums) {
  if (count > 0) CHOOSE(add_up, WIDEST_BLOCK)(rows, width, merges, count, sums);
}

void prefetch(const void *start, ptrdiff_t bytes) {
  for (ptrdiff_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)start + i);
}

void bytes_to_floats(const uint8_t *x, float *y, ptrdiff_t count, float scale, float offset) {
  CHOOSE(byte_line, WIDEST_BLOCK)(x, y, count, scale, offset);
}

void reciprocal_roots(int block, double *x, double added, ptrdiff_t count) {
  CHOOSE(roots, block)(x, added, count);
}

void sgd_finish(void) { __builtin_ia32_sfence(); }

void sgd_update(
    int block, const sgd_settings *settings, const float *gradient, float *velocity, const float *parameter,
    float *updated, ptrdiff_t count) {
  CHOOSE(update, block)(settings, gradient, velocity, parameter, updated, count);
}

void bfloat16_round(int block, const float *x, float *y, uint16_t *kept, ptrdiff_t count) {
  CHOOSE_ROUNDING(round_floats, block)(x, y, kept, count);
}

void bfloat16_expand(int block, const uint16_t *kept, float *y, ptrdiff_t count) {
  CHOOSE_ROUNDING(expand_halves, block)(kept, y, count);
}

void winograd_forward(
    const winograd_shape *shape, const float *x, const float *weight, const float *bias, float *y, int samples,
    float *scratch, stretch *ahead) {
  CHOOSE(forward, shape->block)(shape, x, weight, bias, y, samples, scratch, ahead);
}

void winograd_backward_weights(
    const winograd_shape *shape, const float *x, const float *dy, float *d_weight, float *d_bias, int adds,
    const summand *summands, int count, float *scratch) {
  CHOOSE(backward_weights, shape->block)(shape, x, dy, d_weight, d_bias, adds, summands, count, scratch);
}

int winograd_adds_up(const winograd_shape *shape, int samples) {
  const scheme scheme = scheme_of(shape);
  const long tiles = grid_of(shape, samples).tiles, points = facts_of[scheme].points * facts_of[scheme].points;
  return scheme != STEM && tiles <= most_tiles_per_block(shape) &&
         points * tiles * (shape->inputs + shape->outputs) <= MOST_FLOATS_OF_SUMMANDS;
}

ptrdiff_t winograd_multiplications(const winograd_shape *shape) {
  const grid g = grid_of(shape, 1);
  return points_in(scheme_of(shape), &g.vertical) * points_in(scheme_of(shape), &g.horizontal);
}

static long scratch_of_gradients(const winograd_shape *shape, long tiles, int summands) {
  const scheme_facts facts = facts_of[scheme_of(shape)];
  const gradient_blocking k = gradient_blocking_of(shape, tiles, summands);
  const long later = summands > 1 ? (MOST_SUMS - 1) * facts.taps * facts.taps * k.chunk * k.panel : 0;
  return facts.points * facts.points * (k.input_apart + k.output_apart) +
         facts.weights * facts.weights * k.weight_apart + summands * shape->outputs + later;
}

static size_t scratch_of_tiles(const winograd_shape *shape, int samples) {
  const scheme_facts facts = facts_of[scheme_of(shape)];
  const long tiles = grid_of(shape, samples).tiles;
  const blocking f = blocking_of(shape, tiles);
  const long panels = (shape->outputs + f.panel - 1) / f.panel, chunks = (shape->inputs + f.chunk - 1) / f.chunk;
  const long forward = facts.points * facts.points * (f.input_apart + f.output_apart) +
                       facts.weights * facts.weights * f.weight_apart * (f.tiles < tiles ? panels * chunks : 1);
  const long several = winograd_adds_up(shape, samples) ? scratch_of_gradients(shape, tiles, MOST_SUMMANDS) : 0;
  return (size_t)max(max(forward, scratch_of_gradients(shape, tiles, 1)), several);
}

size_t winograd_scratch(const winograd_shape *shape, int samples) {
  if (scheme_of(shape) != STEM) return scratch_of_tiles(shape, samples);
  const winograd_shape phases = shape_of_phases(shape);
  return (size_t)(phases_count(shape, samples) + phase_weights_count(shape)) + scratch_of_tiles(&phases, samples);
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

void max_pooling_forward(const pooling_shape *shape, const float *x, float *y, int samples) {
  CHOOSE(pool_forward, shape->block)(shape, x, y, samples);
}

void max_pooling_backward(
    const pooling_shape *shape, const float *x, const float *y, const float *dy, float *dx, int samples) {
  CHOOSE(pool_backward, shape->block)(shape, x, y, dy, dx, samples);
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
