// The gradient of the weight: for each block of 16 outputs, each block of 16 inputs and each tap, a matrix product over
// pixels: dy, transposed, by the inputs that the tap has read.
#pragma once

// Pixels of one product.
enum { PIXELS = 32 };

// The work is cut into strips of output rows, each packed as if there were nothing else.
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
  // Elements: of one phase of one kernel column of a block of inputs, of all inputs of a strip, of its outputs.
  long plane;
  long x_strip;
  long dy_strip;
} stripes;

static inline stripes stripes_of(const amx_shape *s) {
  stripes t = {.shape = s, .pairs = (s->output_width + 1) / 2};
  const int strips = (int)max(1, min(s->output_height, (long)s->output_height * t.pairs / 192));
  t.rows = (s->output_height + strips - 1) / strips;
  t.strips = (s->output_height + t.rows - 1) / t.rows;
  t.chunks = (t.rows * t.pairs + SIDE - 1) / SIDE;
  t.phases = (int)min(s->stride, s->kernel_height);
  t.phase_rows = t.rows + (s->kernel_height - 1) / s->stride;
  t.plane = ((long)t.phase_rows * t.pairs + SIDE) * PIXELS;
  t.x_strip = s->inputs / 16 * s->kernel_width * t.phases * t.plane;
  t.dy_strip = (long)s->outputs / 16 * t.chunks * TILE * 2;
  return t;
}

// The upper halves of two pixels' 16 channels, as pairs.
#define PAIR(a, b)                                                                                                     \
  _mm512_ternarylogic_epi32(                                                                                           \
      _mm512_srli_epi32(_mm512_castps_si512(a), 16), _mm512_castps_si512(b), _mm512_set1_epi32((int)0xffff0000), 0xf8)

// Pixel `column` of a row, or 0 outside.
#define PIXEL(from, column, width)                                                                                     \
  ((column) >= 0 && (column) < (width) ? _mm512_loadu_ps((from) + (long)(column) * 16) : _mm512_setzero_ps())

// [block, kernel column, phase, row, pair, 16, 2], and a product's worth of zeros behind each phase.
FUNCTION void pack_inputs(const stripes *t, const float *x, int strip, uint16_t *packed) {
  const amx_shape *s = t->shape;
  for (int block = 0; block < s->inputs / 16; block++)
    for (int q = 0; q < s->kernel_width; q++)
      for (int phase = 0; phase < t->phases; phase++, packed += t->plane) {
        uint16_t *to = packed;
        for (int row = 0; row < t->phase_rows; row++) {
          const int y = (strip * t->rows + row) * s->stride + phase - s->padding;
          if (y < 0 || y >= s->height) {
            memset(to, 0, (size_t)t->pairs * PIXELS * 2);
            to += t->pairs * PIXELS;
            continue;
          }
          const float *from = x + ((long)block * s->height + y) * s->width * 16;
          int column = q - s->padding;
          for (int i = 0; i < t->pairs; i++, to += PIXELS, column += 2 * s->stride) {
            const int next = column + s->stride;
            const __m512 a = PIXEL(from, column, s->width), b = PIXEL(from, next, s->width);
            _mm512_storeu_si512(to, PAIR(a, b));
          }
        }
        memset(to, 0, SIDE * PIXELS * 2);
      }
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

// [block, chunk, 16 channels, 16 pairs]; adds dy to d_bias, unless that is null.
FUNCTION void pack_outputs(const stripes *t, const float *dy, int strip, uint16_t *packed, float *d_bias) {
  const amx_shape *s = t->shape;
  const int first = strip * t->rows, rows = (int)min(t->rows, s->output_height - first);
  for (int block = 0; block < s->outputs / 16; block++) {
    const float *from = dy + ((long)block * s->output_height + first) * s->output_width * 16;
    __m512 even = _mm512_setzero_ps(), odd = even;
    int row = 0, column = 0;
    for (int chunk = 0; chunk < t->chunks; chunk++, packed += TILE * 2) {
      __m512i v[16];
      for (int i = 0; i < 16; i++) {
        if (row == rows) {
          v[i] = _mm512_setzero_si512();
          continue;
        }
        const __m512 a = _mm512_loadu_ps(from), b = PIXEL(from, 1, s->output_width - column);
        even = _mm512_add_ps(even, a);
        odd = _mm512_add_ps(odd, b);
        v[i] = PAIR(a, b);
        const int step = (int)min(2, s->output_width - column);
        from += step * 16;
        column += step;
        if (column == s->output_width) {
          column = 0;
          row++;
        }
      }
      transpose(v);
      for (int i = 0; i < 16; i++) _mm512_storeu_si512(packed + i * PIXELS, v[i]);
    }
    if (d_bias) {
      float *sum = d_bias + block * 16;
      _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), _mm512_add_ps(even, odd)));
    }
  }
}

// The gradients of four taps, [output, input], summed over strips.
FUNCTION void correlate_four(
    const stripes *t, int strips, const uint16_t *dy, const uint16_t *const *x, float (*sums)[TILE]) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int strip = 0; strip < strips; strip++)
    for (int chunk = 0; chunk < t->chunks; chunk++) {
      const long at = strip * t->x_strip + chunk * TILE * 2;
      _tile_loadd(4, dy + strip * t->dy_strip + chunk * TILE * 2, 64);
      _tile_loadd(5, x[0] + at, 64);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(5, x[1] + at, 64);
      _tile_dpbf16ps(1, 4, 5);
      _tile_loadd(5, x[2] + at, 64);
      _tile_dpbf16ps(2, 4, 5);
      _tile_loadd(5, x[3] + at, 64);
      _tile_dpbf16ps(3, 4, 5);
    }
  _tile_stored(0, sums[0], 64);
  _tile_stored(1, sums[1], 64);
  _tile_stored(2, sums[2], 64);
  _tile_stored(3, sums[3], 64);
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

// Of some strips that are packed, all of the gradient: [K/16, C/16, R, S, 16 of C, 16 of K].
FUNCTION void correlate_strips(
    const stripes *t, int strips, const uint16_t *dy, const uint16_t *x, float *d_weight, int adds) {
  const amx_shape *s = t->shape;
  const int taps = s->kernel_height * s->kernel_width, pieces = s->inputs / 16 * taps;
  float sums[4][TILE] __attribute__((aligned(64)));
  for (int first = 0; first < pieces; first += 4) {
    const uint16_t *source[4];
    long place[4];
    for (int i = 0; i < 4; i++) {
      // Rows of a kernel column are neighbors here, because they read the same plane.
      const int number = (int)min(first + i, pieces - 1), block = number / taps;
      const int q = number % taps / s->kernel_height, r = number % s->kernel_height;
      const long plane = (block * s->kernel_width + q) * t->phases + r % s->stride;
      source[i] = x + plane * t->plane + (long)(r / s->stride) * t->pairs * PIXELS;
      place[i] = (long)block * taps + r * s->kernel_width + q;
    }
    for (int output = 0; output < s->outputs / 16; output++) {
      correlate_four(t, strips, dy + (long)output * t->chunks * TILE * 2, source, sums);
      for (int i = 0; i < min(4, pieces - first); i++)
        put_transposed(sums[i], d_weight + ((long)output * pieces + place[i]) * TILE, adds);
    }
  }
}

static inline int strips_at_once(const stripes *t, int samples) {
  return (int)max(1, min(samples * t->strips, (384 << 10) / (t->x_strip + t->dy_strip)));
}

TARGET void amx_backward_weights(
    const amx_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds, int samples,
    void *scratch) {
  const stripes t = stripes_of(s);
  const int most = strips_at_once(&t, samples), all = samples * t.strips;
  const long x_sample = (long)s->inputs * s->height * s->width;
  const long y_sample = (long)s->outputs * s->output_height * s->output_width;
  uint16_t *packed_x = scratch, *packed_dy = packed_x + most * t.x_strip;
  if (d_bias && !adds) memset(d_bias, 0, (size_t)s->outputs * sizeof(float));
  configure(SIDE, PIXELS);
  for (int first = 0; first < all; first += most) {
    const int strips = (int)min(most, all - first);
    for (int i = 0; i < strips; i++) {
      const int sample = (first + i) / t.strips, strip = (first + i) % t.strips;
      pack_inputs(&t, x + sample * x_sample, strip, packed_x + i * t.x_strip);
      pack_outputs(&t, dy + sample * y_sample, strip, packed_dy + i * t.dy_strip, d_bias);
    }
    correlate_strips(&t, strips, packed_dy, packed_x, d_weight, adds || first > 0);
  }
  _tile_release();
}

size_t amx_scratch(const amx_shape *s, int samples) {
  const passage f = forward_passage(s, samples), b = backward_passage(s, samples);
  const stripes t = stripes_of(s);
  const long forward = samples_at_once(&f) * packed_sample(&f), data = samples_at_once(&b) * packed_sample(&b);
  const long weights = strips_at_once(&t, samples) * (t.x_strip + t.dy_strip);
  return (size_t)max(max(forward, data), weights) * sizeof(uint16_t);
}
