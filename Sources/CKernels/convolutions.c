// Winograd's convolutions, and with them matrix products, pooling, and passes over gradients and parameters.
#include "kernels.h"

#define KERNELS "convolutions.h"
#include "variants.h"

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

void max_pooling_forward(const pooling_shape *shape, const float *x, float *y, int samples) {
  CHOOSE(pool_forward, shape->block)(shape, x, y, samples);
}

void max_pooling_backward(
    const pooling_shape *shape, const float *x, const float *y, const float *dy, float *dx, int samples) {
  CHOOSE(pool_backward, shape->block)(shape, x, y, dy, dx, samples);
}
