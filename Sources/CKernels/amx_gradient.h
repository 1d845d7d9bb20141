// The gradient of the weight: for each block of 16 outputs, each block of 16 inputs and each tap, a matrix product over
// pixels: dy, transposed, by the inputs that the tap has read.
#pragma once
#include "amx_strips.h"

// Strips that are packed, and the sums over those before them: null if there are none before, or none behind.
typedef struct {
  int count;
  const uint16_t *dy;
  const uint16_t *x;
  // Elements between two strips' inputs.
  long x_apart;
  float *before;
  float *behind;
} packed_strips;

// The gradients of four taps, [output, input], summed over strips.
FUNCTION void correlate_four(
    const stripes *t, const packed_strips *p, const uint16_t *dy, const long *x, const float *before, float *sums) {
  if (before) {
    _tile_loadd(0, before, 64);
    _tile_loadd(1, before + TILE, 64);
    _tile_loadd(2, before + 2 * TILE, 64);
    _tile_loadd(3, before + 3 * TILE, 64);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int strip = 0; strip < p->count; strip++)
    for (int chunk = 0; chunk < t->chunks; chunk++) {
      const uint16_t *at = p->x + strip * p->x_apart + chunk * TILE * 2;
      _tile_loadd(4, dy + strip * t->dy_strip + chunk * TILE * 2, 64);
      _tile_loadd(5, at + x[0], 64);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(5, at + x[1], 64);
      _tile_dpbf16ps(1, 4, 5);
      _tile_loadd(5, at + x[2], 64);
      _tile_dpbf16ps(2, 4, 5);
      _tile_loadd(5, at + x[3], 64);
      _tile_dpbf16ps(3, 4, 5);
    }
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + TILE, 64);
  _tile_stored(2, sums + 2 * TILE, 64);
  _tile_stored(3, sums + 3 * TILE, 64);
}

FUNCTION void put_transposed(const float *sums, float *to, int adds) {
  __m512i v[16];
  for (int i = 0; i < 16; i++) v[i] = _mm512_loadu_si512(sums + i * 16);
  transpose(v);
  for (int i = 0; i < 16; i++) {
    const __m512 old = adds ? _mm512_loadu_ps(to + i * 16) : _mm512_setzero_ps();
    _mm512_storeu_ps(to + i * 16, _mm512_add_ps(old, _mm512_castsi512_ps(v[i])));
  }
}

// Of some blocks of inputs: [K/16, C/16, R, S, 16 of C, 16 of K].
FUNCTION void correlate(
    const stripes *t, const packed_strips *p, int first_block, int blocks, float *d_weight, int adds) {
  const amx_shape *s = t->shape;
  const int taps = s->kernel_height * s->kernel_width, outputs = s->outputs / 16;
  float last[4 * TILE] __attribute__((aligned(64)));
  long kept = 0;
  for (int first = 0; first < blocks * taps; first += 4) {
    long source[4], place[4];
    for (int i = 0; i < 4; i++) {
      // Rows of a kernel column are neighbors here, because they read the same plane.
      const int number = (int)min(first + i, blocks * taps - 1), block = number / taps;
      const int q = number % taps / s->kernel_height, r = number % s->kernel_height;
      const long plane = (block * s->kernel_width + q) * t->phases + r % s->stride;
      source[i] = plane * t->plane + (long)(r / s->stride) * t->pairs * PIXELS;
      place[i] = (long)(first_block + block) * taps + r * s->kernel_width + q;
    }
    for (int output = 0; output < outputs; output++, kept += 4 * TILE) {
      const uint16_t *dy = p->dy + (long)output * t->chunks * TILE * 2;
      float *sums = p->behind ? p->behind + kept : last;
      correlate_four(t, p, dy, source, p->before ? p->before + kept : 0, sums);
      for (int i = 0; !p->behind && i < min(4, blocks * taps - first); i++)
        put_transposed(sums + i * TILE, d_weight + ((long)output * s->inputs / 16 * taps + place[i]) * TILE, adds);
    }
  }
}

// Floats of the sums that wait.
static inline long waiting_sums(const stripes *t) {
  const amx_shape *s = t->shape;
  const long pieces = (long)s->inputs / 16 * s->kernel_height * s->kernel_width;
  return t->strips_packed < t->strips ? (pieces + 3) / 4 * 4 * (s->outputs / 16) * TILE : 0;
}

TARGET void amx_backward_weights(
    const amx_shape *s, activation x, activation dy, float *d_weight, float *d_bias, int adds, int samples,
    void *scratch) {
  const stripes t = stripes_of(s, samples);
  const int in_sample = t.strips / samples, blocks = s->inputs / 16;
  const long x_sample = (long)s->inputs * s->height * s->width;
  const long y_sample = (long)s->outputs * s->output_height * s->output_width;
  float *bias_sums = scratch, *sums = bias_sums + s->outputs;
  uint16_t *packed_dy = (uint16_t *)(sums + waiting_sums(&t)), *packed_x = packed_dy + t.strips_packed * t.dy_strip;
  memset(bias_sums, 0, (size_t)s->outputs * sizeof *bias_sums);
  configure(SIDE, PIXELS);
  for (int first = 0; first < t.strips; first += t.strips_packed) {
    const int strips = (int)min(t.strips_packed, t.strips - first);
    for (int i = 0; i < strips; i++)
      pack_outputs(
          from(dy, (first + i) / in_sample * y_sample), &t, (first + i) % in_sample, packed_dy + i * t.dy_strip,
          d_bias ? bias_sums : 0);
    for (int block = 0; block < blocks; block += t.blocks_packed) {
      const int count = (int)min(t.blocks_packed, blocks - block);
      for (int i = 0; i < strips; i++)
        pack_inputs(
            from(x, (first + i) / in_sample * x_sample), &t, (first + i) % in_sample, block, count,
            packed_x + i * count * t.x_block);
      const packed_strips p = {
          .count = strips,
          .dy = packed_dy,
          .x = packed_x,
          .x_apart = count * t.x_block,
          .before = first > 0 ? sums : 0,
          .behind = first + strips < t.strips ? sums : 0};
      correlate(&t, &p, block, count, d_weight, adds);
    }
  }
  _tile_release();
  for (int k = 0; d_bias && k < s->outputs; k++) d_bias[k] = adds ? d_bias[k] + bias_sums[k] : bias_sums[k];
}
