// Forward, and the gradient of the input: for each block of 16 outputs, matrix products of pixels by channels, one for
// every tap of the kernel and chunk of input channels.
#pragma once
#include "amx_passage.h"

// Where four tiles of results come from, and the elements where they go.
typedef struct {
  int rows;
  const uint16_t *source[4];
  long source_apart;
  long result[4];
  long result_apart;
} four_tiles;

FUNCTION void multiply_four(
    const passage *p, const axis *v, const axis *h, const four_tiles *t, const uint16_t *weight, const float *bias,
    activation y) {
  if (bias) {
    _tile_loadd(0, bias, 0);
    _tile_loadd(1, bias, 0);
    _tile_loadd(2, bias, 0);
    _tile_loadd(3, bias, 0);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const int depth = p->depth;
  const long apart = 2 * t->source_apart, plane = (long)p->rows.count * p->columns.count * depth;
  for (int chunk = 0; chunk * depth < p->source_blocks * 16; chunk++)
    for (int r = 0; r < v->taps; r++)
      for (int s = 0; s < h->taps; s++) {
        const long at = chunk * plane + ((long)v->offset[r] * p->columns.count + h->offset[s]) * depth;
        const uint16_t *w = weight + chunk * p->chunk_apart + (v->tap[r] * p->kernel_width + h->tap[s]) * 16 * depth;
        _tile_loadd(5, w, 64);
        _tile_loadd(4, t->source[0] + at, apart);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(4, t->source[1] + at, apart);
        _tile_dpbf16ps(1, 4, 5);
        _tile_loadd(4, t->source[2] + at, apart);
        _tile_dpbf16ps(2, 4, 5);
        _tile_loadd(4, t->source[3] + at, apart);
        _tile_dpbf16ps(3, 4, 5);
      }
  if (y.floats) {
    const long apart = 4 * t->result_apart;
    _tile_stored(0, y.floats + t->result[0], apart);
    _tile_stored(1, y.floats + t->result[1], apart);
    _tile_stored(2, y.floats + t->result[2], apart);
    _tile_stored(3, y.floats + t->result[3], apart);
    return;
  }
  float floats[4][TILE] __attribute__((aligned(64)));
  _tile_stored(0, floats[0], 64);
  _tile_stored(1, floats[1], 64);
  _tile_stored(2, floats[2], 64);
  _tile_stored(3, floats[3], 64);
  for (int i = 0; i < 4; i++)
    for (int row = 0; row < t->rows; row++)
      _mm256_storeu_si256(
          (__m256i *)(y.halves + t->result[i] + row * t->result_apart),
          (__m256i)_mm512_cvtneps_pbh(_mm512_load_ps(floats[i] + row * SIDE)));
}

// All results at the crossings of two axes, of the samples that are packed.
FUNCTION void multiply_crossing(
    const passage *p, const axis *v, const axis *h, const uint16_t *packed, const uint16_t *weight, const float *bias,
    activation y) {
  const long source_sample = packed_sample(p), result_plane = (long)p->result_height * p->result_width * 16;
  const long result_sample = result_plane * p->result_blocks;
  // A tile's rows are neighbors in a row of the image; or, of small images, the same pixel of several samples.
  const int along_samples = h->count < 8 && p->samples > h->count;
  const int length = along_samples ? p->samples : h->count, pieces = (length + 15) / 16;
  const int rows = (length + pieces - 1) / pieces, others = v->count * (along_samples ? h->count : p->samples);
  four_tiles t = {
      .rows = rows,
      .source_apart = along_samples ? source_sample : (long)h->step * p->depth,
      .result_apart = along_samples ? result_sample : (long)h->apart * 16};
  configure(rows, p->depth);
  for (int block = 0; block < p->result_blocks; block++) {
    int piece = 0, row = 0, rest = 0;
    for (int left = pieces * others; left > 0; left -= 4) {
      for (int i = 0; i < 4; i++) {
        // The last piece overlaps the one before, so that all are as long.
        const int start = (int)min(piece * rows, length - rows);
        const int sample = along_samples ? start : rest, column = along_samples ? rest : start;
        t.source[i] =
            packed + sample * source_sample + ((long)row * v->step * p->columns.count + column * h->step) * p->depth;
        t.result[i] = sample * result_sample + block * result_plane +
                      ((long)(v->first + row * v->apart) * p->result_width + h->first + column * h->apart) * 16;
        // There is always a fourth tile: the last one again.
        if (i + 1 >= left || ++piece < pieces) continue;
        piece = 0;
        if (++row < v->count) continue;
        row = 0;
        rest++;
      }
      multiply_four(p, v, h, &t, weight + block * p->result_apart, bias ? bias + block * 16 : 0, y);
    }
  }
}

TARGET void amx_forward(
    const amx_shape *s, activation x, const uint16_t *weight, const float *bias, activation y, int samples,
    void *scratch) {
  passage p = forward_passage(s, samples);
  const int most = samples_at_once(&p);
  const axis v = forward_axis(s->output_height, s->kernel_height, s->stride);
  const axis h = forward_axis(s->output_width, s->kernel_width, s->stride);
  const long x_sample = (long)s->inputs * s->height * s->width;
  const long y_sample = (long)s->outputs * s->output_height * s->output_width;
  for (int first = 0; first < samples; first += most) {
    p.samples = (int)min(most, samples - first);
    for (int n = 0; n < p.samples; n++)
      pack_pixels(from(x, (first + n) * x_sample), &p, (uint16_t *)scratch + n * packed_sample(&p));
    multiply_crossing(&p, &v, &h, scratch, weight, bias, from(y, first * y_sample));
  }
  _tile_release();
}

TARGET void amx_backward_data(
    const amx_shape *s, activation dy, const uint16_t *weight, activation dx, int samples, void *scratch) {
  passage p = backward_passage(s, samples);
  const int most = samples_at_once(&p);
  const long x_sample = (long)s->inputs * s->height * s->width;
  const long y_sample = (long)s->outputs * s->output_height * s->output_width;
  for (int first = 0; first < samples; first += most) {
    p.samples = (int)min(most, samples - first);
    for (int n = 0; n < p.samples; n++)
      pack_pixels(from(dy, (first + n) * y_sample), &p, (uint16_t *)scratch + n * packed_sample(&p));
    for (int i = 0; i < min(s->stride, s->height); i++)
      for (int j = 0; j < min(s->stride, s->width); j++) {
        const axis v = backward_axis(s->height, s->kernel_height, s->stride, s->padding, i);
        const axis h = backward_axis(s->width, s->kernel_width, s->stride, s->padding, j);
        multiply_crossing(&p, &v, &h, scratch, weight, 0, from(dx, first * x_sample));
      }
  }
  _tile_release();
}
