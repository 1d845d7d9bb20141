// What a pass of a convolution is along each axis of the image, and how its source is packed for it.
#pragma once
#include "amx_tiles.h"

// Input channels of one product.
static inline int depth_of(int channels) { return channels % 32 == 0 ? 32 : 16; }

// The outputs along one axis that use the same taps: output first + i * apart reads, at each tap, input i * step +
// offset from the first one that is packed.
typedef struct {
  int count;
  int first;
  int apart;
  int step;
  int taps;
  int tap[AMX_TAPS];
  int offset[AMX_TAPS];
} axis;

// An axis of the source: where the first packed element lies, and how many there are.
typedef struct {
  int origin;
  int count;
} extent;

static inline axis forward_axis(int outputs, int kernel, int stride) {
  axis a = {.count = outputs, .apart = 1, .step = stride, .taps = kernel};
  for (int r = 0; r < kernel; r++) a.tap[r] = a.offset[r] = r;
  return a;
}

static inline extent forward_extent(int outputs, int kernel, int stride, int padding) {
  return (extent){-padding, (outputs - 1) * stride + kernel};
}

static inline int floor_of_quotient(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Gradients of the inputs phase, phase + stride, ...: those that the same taps have read.
static inline extent backward_extent(int inputs, int kernel, int stride, int padding) {
  const int origin = floor_of_quotient(padding - (kernel - 1), stride);
  return (extent){origin, (inputs - 1 + padding) / stride - origin + 1};
}

static inline axis backward_axis(int inputs, int kernel, int stride, int padding, int phase) {
  const extent e = backward_extent(inputs, kernel, stride, padding);
  axis a = {.count = (inputs - phase + stride - 1) / stride, .first = phase, .apart = stride, .step = 1};
  for (int r = 0; r < kernel; r++)
    if ((phase + padding - r) % stride == 0) {
      a.tap[a.taps] = r;
      a.offset[a.taps++] = floor_of_quotient(phase + padding - r, stride) - e.origin;
    }
  return a;
}

typedef struct {
  int samples;
  // Blocks of channels, of 16.
  int source_blocks;
  int result_blocks;
  int depth;
  int height, width;
  int result_height, result_width;
  extent rows, columns;
  // Elements between two weight tiles: of two result blocks, of two chunks of source channels.
  long result_apart;
  long chunk_apart;
  int kernel_height, kernel_width;
} passage;

static inline long packed_sample(const passage *p) {
  return (long)p->rows.count * p->columns.count * p->source_blocks * 16;
}

// 16-bit numbers of a pixel's channels in one block, or in two.
INLINE void put_pixel(activation x, long place, long block_apart, int depth, uint16_t *to) {
  const __m256i first = halves_at(x, place);
  if (depth == 16) _mm256_storeu_si256((__m256i *)to, first);
  else _mm512_storeu_si512(to, _mm512_inserti64x4(_mm512_castsi256_si512(first), halves_at(x, place + block_apart), 1));
}

// [chunk, row, column, depth], with zeros outside the image.
INLINE void pack_pixels_of(activation x, const passage *p, int depth, uint16_t *packed) {
  const int origin = p->columns.origin, columns = p->columns.count;
  const int first = (int)min(max(0, -origin), columns), after = (int)max(first, min(columns, p->width - origin));
  const long block_apart = (long)p->height * p->width * 16;
  for (int block = 0; block < p->source_blocks; block += depth / 16)
    for (int row = 0; row < p->rows.count; row++, packed += columns * depth) {
      const int y = row + p->rows.origin;
      if (y < 0 || y >= p->height) {
        memset(packed, 0, (size_t)columns * depth * sizeof *packed);
        continue;
      }
      const long place = block * block_apart + ((long)y * p->width + origin) * 16;
      memset(packed, 0, (size_t)first * depth * sizeof *packed);
      for (int c = first; c < after; c++) put_pixel(x, place + c * 16, block_apart, depth, packed + c * depth);
      memset(packed + after * depth, 0, (size_t)(columns - after) * depth * sizeof *packed);
    }
}

FUNCTION void pack_pixels(activation x, const passage *p, uint16_t *packed) {
  if (p->depth == 16) IN_EITHER_FORM(x, pack_pixels_of, p, 16, packed);
  else IN_EITHER_FORM(x, pack_pixels_of, p, 32, packed);
}

// Few samples at a time, which stay in the first-level cache, but enough to outweigh the weights, which all of them
// use.
static inline int samples_at_once(const passage *p) {
  const long weights = (long)p->source_blocks * p->result_blocks * p->kernel_height * p->kernel_width * TILE;
  return (int)max(1, min(p->samples, max(weights, 16 << 10) / packed_sample(p)));
}

typedef struct {
  int channels, height, width;
} image;

static inline passage passage_between(
    image source, image result, extent rows, extent columns, const amx_shape *s, int samples) {
  return (passage){
      .samples = samples,
      .source_blocks = source.channels / 16,
      .result_blocks = result.channels / 16,
      .depth = depth_of(source.channels),
      .height = source.height,
      .width = source.width,
      .result_height = result.height,
      .result_width = result.width,
      .rows = rows,
      .columns = columns,
      .kernel_height = s->kernel_height,
      .kernel_width = s->kernel_width};
}

static inline image input_of(const amx_shape *s) { return (image){s->inputs, s->height, s->width}; }
static inline image output_of(const amx_shape *s) { return (image){s->outputs, s->output_height, s->output_width}; }

static inline passage forward_passage(const amx_shape *s, int samples) {
  passage p = passage_between(
      input_of(s), output_of(s), forward_extent(s->output_height, s->kernel_height, s->stride, s->padding),
      forward_extent(s->output_width, s->kernel_width, s->stride, s->padding), s, samples);
  p.chunk_apart = (long)s->kernel_height * s->kernel_width * 16 * p.depth;
  p.result_apart = p.chunk_apart * (s->inputs / p.depth);
  return p;
}

static inline passage backward_passage(const amx_shape *s, int samples) {
  passage p = passage_between(
      output_of(s), input_of(s), backward_extent(s->height, s->kernel_height, s->stride, s->padding),
      backward_extent(s->width, s->kernel_width, s->stride, s->padding), s, samples);
  p.result_apart = (long)s->kernel_height * s->kernel_width * 16 * p.depth;
  p.chunk_apart = p.result_apart * (s->inputs / 16);
  return p;
}
