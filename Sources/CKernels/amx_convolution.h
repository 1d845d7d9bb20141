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
  int kernel_width;
} passage;

INLINE void store_halves(uint16_t *to, __m256i v) { _mm256_storeu_si256((__m256i *)to, v); }

static inline long packed_sample(const passage *p) {
  return (long)p->rows.count * p->columns.count * p->source_blocks * 16;
}

// [chunk, row, column, depth], with zeros outside the image.
INLINE void pack_pixels_of(activation x, const passage *p, uint16_t *packed) {
  const int halves = p->depth / 16, columns = p->columns.count;
  const int origin = p->columns.origin, first = (int)min(max(0, -origin), columns);
  const int after = (int)min(columns, p->width - origin);
  for (int block = 0; block < p->source_blocks; block++)
    for (int row = 0; row < p->rows.count; row++) {
      const int y = row + p->rows.origin;
      uint16_t *to = packed + ((long)(block / halves * p->rows.count + row) * columns) * p->depth + block % halves * 16;
      const int is_inside = y >= 0 && y < p->height, left = is_inside ? first : columns, right = max(left, after);
      const long place = (((long)block * p->height + y) * p->width + origin) * 16;
      for (int c = 0; c < min(left, columns); c++) store_halves(to + c * p->depth, _mm256_setzero_si256());
      for (int c = left; c < after; c++) store_halves(to + c * p->depth, halves_at(x, place + c * 16));
      for (int c = right; c < columns; c++) store_halves(to + c * p->depth, _mm256_setzero_si256());
    }
}

FUNCTION void pack_pixels(activation x, const passage *p, uint16_t *packed) {
  IN_EITHER_FORM(x, pack_pixels_of, p, packed);
}

// Where four tiles of results come from and go to.
typedef struct {
  const uint16_t *source[4];
  float *result[4];
} four_tiles;

FUNCTION void multiply_four(
    const passage *p, const axis *v, const axis *h, const four_tiles *t, long source_apart, long result_apart,
    const uint16_t *weight, const float *bias) {
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
  const long plane = (long)p->rows.count * p->columns.count * depth;
  for (int chunk = 0; chunk * depth < p->source_blocks * 16; chunk++)
    for (int r = 0; r < v->taps; r++)
      for (int s = 0; s < h->taps; s++) {
        const long at = chunk * plane + ((long)v->offset[r] * p->columns.count + h->offset[s]) * depth;
        const uint16_t *w = weight + chunk * p->chunk_apart + (v->tap[r] * p->kernel_width + h->tap[s]) * 16 * depth;
        _tile_loadd(5, w, 64);
        _tile_loadd(4, t->source[0] + at, source_apart);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(4, t->source[1] + at, source_apart);
        _tile_dpbf16ps(1, 4, 5);
        _tile_loadd(4, t->source[2] + at, source_apart);
        _tile_dpbf16ps(2, 4, 5);
        _tile_loadd(4, t->source[3] + at, source_apart);
        _tile_dpbf16ps(3, 4, 5);
      }
  _tile_stored(0, t->result[0], result_apart);
  _tile_stored(1, t->result[1], result_apart);
  _tile_stored(2, t->result[2], result_apart);
  _tile_stored(3, t->result[3], result_apart);
}

// All results at the crossings of two axes, of the samples that are packed.
FUNCTION void multiply_crossing(
    const passage *p, const axis *v, const axis *h, const uint16_t *packed, const uint16_t *weight, const float *bias,
    float *y) {
  const long source_sample = packed_sample(p), result_plane = (long)p->result_height * p->result_width * 16;
  const long result_sample = result_plane * p->result_blocks;
  // A tile's rows are neighbors in a row of the image; or, of small images, the same pixel of several samples.
  const int along_samples = h->count < 8 && p->samples > h->count;
  const int length = along_samples ? p->samples : h->count, pieces = (length + 15) / 16;
  const int rows = (length + pieces - 1) / pieces, others = v->count * (along_samples ? h->count : p->samples);
  const long source_apart = along_samples ? source_sample : (long)h->step * p->depth;
  const long result_apart = along_samples ? result_sample : (long)h->apart * 16;
  configure(rows, p->depth);
  const int tiles = pieces * others;
  for (int block = 0; block < p->result_blocks; block++)
    for (int first = 0; first < tiles; first += 4) {
      four_tiles t;
      for (int i = 0; i < 4; i++) {
        const int number = min(first + i, tiles - 1);
        // The last piece overlaps the one before, so that all are as long.
        const int start = (int)min(number % pieces * rows, length - rows), other = number / pieces;
        const int row = other % v->count, rest = other / v->count;
        const int sample = along_samples ? start : rest, column = along_samples ? rest : start;
        t.source[i] =
            packed + sample * source_sample + ((long)row * v->step * p->columns.count + column * h->step) * p->depth;
        t.result[i] = y + sample * result_sample + block * result_plane +
                      ((long)(v->first + row * v->apart) * p->result_width + h->first + column * h->apart) * 16;
      }
      multiply_four(
          p, v, h, &t, 2 * source_apart, 4 * result_apart, weight + block * p->result_apart,
          bias ? bias + block * 16 : 0);
    }
}

// As many samples at a time as leave room for weights in the second-level cache.
static inline int samples_at_once(const passage *p) { return (int)max(1, min(p->samples, (512 << 10) / packed_sample(p))); }

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
      .kernel_width = s->kernel_width};
}

TARGET void amx_forward(
    const amx_shape *s, activation x, const uint16_t *weight, const float *bias, float *y, int samples,
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
    multiply_crossing(&p, &v, &h, scratch, weight, bias, y + first * y_sample);
  }
  _tile_release();
}

TARGET void amx_backward_data(
    const amx_shape *s, activation dy, const uint16_t *weight, float *dx, int samples, void *scratch) {
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
        multiply_crossing(&p, &v, &h, scratch, weight, 0, dx + first * x_sample);
      }
  }
  _tile_release();
}
