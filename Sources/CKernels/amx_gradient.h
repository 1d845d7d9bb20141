// The gradient of the weight: for each block of 16 outputs, each block of 16 inputs and each tap, a matrix product over
// pixels: dy, transposed, by the inputs that the tap has read.
#pragma once

// Pixels of one product.
enum { PIXELS = 32 };

// The work is cut into strips of output rows, each packed as if there were nothing else. At one time some strips are packed,
// and the inputs of some blocks: all strips if that leaves room for a block of inputs, else the inputs of all blocks, because
// large images have small weights, whose sums then wait from some strips to the next.
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
  // Elements: of one phase of one kernel column of a block of inputs, of a block of inputs of a strip, of a strip's outputs.
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
INLINE void pack_inputs_of(activation x, const stripes *t, int stride, int strip, int first, int blocks, uint16_t *packed) {
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

size_t amx_scratch(const amx_shape *s, int samples) {
  const passage f = forward_passage(s, samples), b = backward_passage(s, samples);
  const stripes t = stripes_of(s, samples);
  const long forward = samples_at_once(&f) * packed_sample(&f), data = samples_at_once(&b) * packed_sample(&b);
  const long weights =
      2 * (s->outputs + waiting_sums(&t)) + t.strips_packed * (t.blocks_packed * t.x_block + t.dy_strip);
  return (size_t)max(max(forward, data), weights) * sizeof(uint16_t);
}
