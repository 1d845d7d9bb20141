// How pixels are packed for the gradient of a weight: those of one product side by side, as pairs.
#pragma once
#include "amx_tiles.h"

// Pixels of one product.
enum { PIXELS = 32 };

// The work is cut into strips of output rows, each packed as if there were nothing else. At one time some strips are
// packed, and the inputs of some blocks: all strips if that leaves room for a block of inputs, else the inputs of all
// blocks, because large images have small weights, whose sums then wait from some strips to the next.
typedef struct {
  const amx_shape *shape;
  int rows;
  int strips;
  // Pairs of pixels per row, products per strip.
  int pairs;
  int chunks;
  // Rows of inputs by their phase: those that a stride apart are neighbors.
  int phases;
  int phase_rows;
  // Elements: of one phase of one kernel column of a block of inputs, of a block of inputs of a strip, of a strip's
  // outputs.
  long plane;
  long x_block;
  long dy_strip;
  // At one time.
  int strips_packed;
  int blocks_packed;
} stripes;

static inline stripes stripes_of(const amx_shape *s, int samples) {
  stripes t = {.shape = s, .pairs = (s->output_width + 1) / 2};
  const int most = (int)max(1, min(s->output_height, (long)s->output_height * t.pairs / 192));
  t.rows = (s->output_height + most - 1) / most;
  const int in_sample = (s->output_height + t.rows - 1) / t.rows;
  t.strips = samples * in_sample;
  t.chunks = (t.rows * t.pairs + SIDE - 1) / SIDE;
  t.phases = (int)min(s->stride, s->kernel_height);
  t.phase_rows = t.rows + (s->kernel_height - 1) / s->stride;
  t.plane = ((long)t.phase_rows * t.pairs + SIDE) * PIXELS;
  t.x_block = s->kernel_width * t.phases * t.plane;
  t.dy_strip = (long)s->outputs / 16 * t.chunks * TILE * 2;
  // Elements that stay in the second-level cache.
  const long all = 640 << 10, some = 192 << 10, blocks = s->inputs / 16, left = all - t.strips * t.dy_strip;
  const int fits = left >= t.strips * t.x_block;
  t.strips_packed = fits ? t.strips : (int)max(1, min(t.strips, some / (blocks * t.x_block + t.dy_strip)));
  t.blocks_packed = fits ? (int)min(blocks, left / max(1, t.strips * t.x_block)) : (int)blocks;
  return t;
}

// A pair of which one pixel or both may be outside, and 0.
INLINE void pack_at_edge(activation x, long line, int width, int column, int stride, uint16_t *to) {
  const int next = column + stride;
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = column >= 0 && column < width ? halves_at(x, line + column * 16) : zero;
  const __m256i high = next >= 0 && next < width ? halves_at(x, line + next * 16) : zero;
  _mm512_storeu_si512(to, pairs_of(low, high));
}

// A row of pairs, beginning at a column of the image.
INLINE void pack_row(activation x, long line, int width, int column, int pairs, int stride, uint16_t *to) {
  const int apart = 2 * stride;
  const int begin = (int)min((max(0, -column) + apart - 1) / apart, pairs);
  const int end = (int)max(begin, min((width - column - stride + apart - 1) / apart, pairs));
  for (int i = 0; i < begin; i++) pack_at_edge(x, line, width, column + i * apart, stride, to + i * PIXELS);
  for (int i = begin; i < end; i++)
    _mm512_storeu_si512(to + i * PIXELS, pairs_at(x, line + (column + i * apart) * 16, stride * 16));
  for (int i = end; i < pairs; i++) pack_at_edge(x, line, width, column + i * apart, stride, to + i * PIXELS);
}

// [block, kernel column, phase, row, pair, 16, 2], and a product's worth of zeros behind each phase.
INLINE void pack_inputs_of(
    activation x, const stripes *t, int stride, int strip, int first, int blocks, uint16_t *packed) {
  const amx_shape *s = t->shape;
  for (int block = 0; block < blocks; block++, packed += t->x_block)
    for (int phase = 0; phase < t->phases; phase++) {
      uint16_t *to = packed + phase * t->plane;
      const long column_apart = t->phases * t->plane;
      for (int row = 0; row < t->phase_rows; row++, to += t->pairs * PIXELS) {
        const int y = (strip * t->rows + row) * stride + phase - s->padding;
        const long line = ((long)(first + block) * s->height + y) * s->width * 16;
        for (int q = 0; q < s->kernel_width; q++)
          if (y < 0 || y >= s->height) memset(to + q * column_apart, 0, (size_t)t->pairs * PIXELS * sizeof *to);
          else pack_row(x, line, s->width, q - s->padding, t->pairs, stride, to + q * column_apart);
      }
      for (int q = 0; q < s->kernel_width; q++) memset(to + q * column_apart, 0, SIDE * PIXELS * sizeof *to);
    }
}

FUNCTION void pack_inputs(activation x, const stripes *t, int strip, int first, int blocks, uint16_t *packed) {
  const int stride = t->shape->stride;
  if (stride == 1) IN_EITHER_FORM(x, pack_inputs_of, t, 1, strip, first, blocks, packed);
  else IN_EITHER_FORM(x, pack_inputs_of, t, stride, strip, first, blocks, packed);
}

// Transposes a matrix of 16 by 16 words of 32 bits.
INLINE void transpose(__m512i *v) {
  __m512i w[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 2) {
    w[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    w[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(w[i], w[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(w[i], w[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(w[i + 1], w[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(w[i + 1], w[i + 3]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    w[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    w[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    w[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    w[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    v[i] = _mm512_shuffle_i32x4(w[i], w[i + 8], 0x88);
    v[i + 4] = _mm512_shuffle_i32x4(w[i + 4], w[i + 12], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(w[i], w[i + 8], 0xdd);
    v[i + 12] = _mm512_shuffle_i32x4(w[i + 4], w[i + 12], 0xdd);
  }
}

// [block, chunk, 16 channels, 16 pairs]; adds dy to bias_sums, unless that is null.
INLINE void pack_outputs_of(activation dy, const stripes *t, int strip, uint16_t *packed, float *bias_sums) {
  const amx_shape *s = t->shape;
  const int first = strip * t->rows, rows = (int)min(t->rows, s->output_height - first);
  for (int block = 0; block < s->outputs / 16; block++) {
    long place = ((long)block * s->output_height + first) * s->output_width * 16;
    const long end = place + (long)rows * s->output_width * 16;
    __m512 even = _mm512_setzero_ps(), odd = even;
    int column = 0;
    for (int chunk = 0; chunk < t->chunks; chunk++, packed += TILE * 2) {
      __m512i v[16];
      for (int i = 0; i < 16; i++) {
        const int count = (int)min(2, s->output_width - column);
        if (place >= end) v[i] = _mm512_setzero_si512();
        else if (count == 2) v[i] = pairs_at(dy, place, 16);
        else v[i] = pairs_of(halves_at(dy, place), _mm256_setzero_si256());
        place += 16 * count;
        column = column + count == s->output_width ? 0 : column + count;
        if (bias_sums) {
          even = _mm512_add_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(v[i], 16)));
          odd = _mm512_add_ps(odd, _mm512_castsi512_ps(_mm512_maskz_mov_epi16(0xaaaaaaaa, v[i])));
        }
      }
      transpose(v);
      for (int i = 0; i < 16; i++) _mm512_storeu_si512(packed + i * PIXELS, v[i]);
    }
    if (bias_sums) {
      float *sum = bias_sums + block * 16;
      _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), _mm512_add_ps(even, odd)));
    }
  }
}

FUNCTION void pack_outputs(activation dy, const stripes *t, int strip, uint16_t *packed, float *bias_sums) {
  IN_EITHER_FORM(dy, pack_outputs_of, t, strip, packed, bias_sums);
}
