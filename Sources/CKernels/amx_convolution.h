// Forward, and the gradient of the input: for each block of 16 outputs, matrix products of pixels by channels, one for every
// tap of the kernel and chunk of input channels.
#pragma once

// Input channels of one product.
static inline int depth_of(int channels) { return channels % 32 == 0 ? 32 : 16; }

// The outputs along one axis that use the same taps: output first + i * apart reads, at each tap, input i * step + offset
// from the first one that is packed.
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

// Few samples at a time, which stay in the first-level cache, but enough to outweigh the weights, which all of them use.
static inline int samples_at_once(const passage *p) {
  const long weights = (long)p->source_blocks * p->result_blocks * p->kernel_height * p->kernel_width * TILE;
  return (int)max(1, min(p->samples, max(weights, 16 << 10) / packed_sample(p)));
}

static inline passage forward_passage(const amx_shape *s, int samples) {
  const int depth = depth_of(s->inputs), kernel = s->kernel_height * s->kernel_width;
  return (passage){
      .samples = samples,
      .source_blocks = s->inputs / 16,
      .result_blocks = s->outputs / 16,
      .depth = depth,
      .height = s->height,
      .width = s->width,
      .result_height = s->output_height,
      .result_width = s->output_width,
      .rows = forward_extent(s->output_height, s->kernel_height, s->stride, s->padding),
      .columns = forward_extent(s->output_width, s->kernel_width, s->stride, s->padding),
      .result_apart = (long)s->inputs * kernel * 16,
      .chunk_apart = (long)kernel * 16 * depth,
      .kernel_height = s->kernel_height,
      .kernel_width = s->kernel_width};
}

static inline passage backward_passage(const amx_shape *s, int samples) {
  const int depth = depth_of(s->outputs), kernel = s->kernel_height * s->kernel_width;
  return (passage){
      .samples = samples,
      .source_blocks = s->outputs / 16,
      .result_blocks = s->inputs / 16,
      .depth = depth,
      .height = s->output_height,
      .width = s->output_width,
      .result_height = s->height,
      .result_width = s->width,
      .rows = backward_extent(s->height, s->kernel_height, s->stride, s->padding),
      .columns = backward_extent(s->width, s->kernel_width, s->stride, s->padding),
      .result_apart = (long)kernel * 16 * depth,
      .chunk_apart = (long)s->inputs * kernel * depth,
      .kernel_height = s->kernel_height,
      .kernel_width = s->kernel_width};
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
