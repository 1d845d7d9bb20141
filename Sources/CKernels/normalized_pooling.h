// Batch norm, rectifier and max pooling in one pass: what lies between them never goes through memory.

// Takes an element of a window if it is larger; NaN wins, and stays. The mean is subtracted first, so that a constant
// channel gives its bias exactly.
#define TAKE(r, c)                                                                                                     \
  {                                                                                                                    \
    const VEC v = (AT(x, start + ((long)(r)*s->width + (c)) * LANES) - mean) * scale + bias;                           \
    const MASK wins = (v > largest) | (v != v);                                                                        \
    largest = SELECT(wins, v, largest);                                                                                \
    at = SELECT_MASK(wins, (MASK){0} + ((r)-first_row) * s->kernel_width + (c)-first_column, at);                      \
  }

// Kernels of `side` by `side` if that is not 0.
INLINE void NAME(normalize_pool_of)(
    const pooling_shape *s, int side, activation x, const float *means, const float *scales, const float *biases,
    int rectifies, activation y, uint8_t *largest_at, int samples) {
  const long image = (long)s->height * s->width * LANES;
  long to = 0;
  for (long plane = 0; plane < (long)samples * s->channels / LANES; plane++) {
    const long channel = plane % (s->channels / LANES) * LANES, start = plane * image;
    const VEC mean = LOAD(means + channel), scale = LOAD(scales + channel), bias = LOAD(biases + channel);
    for (int i = 0; i < s->output_height; i++)
      for (int j = 0; j < s->output_width; j++, to += LANES) {
        WINDOW(i, j);
        const int first_row = i * s->stride - s->padding, first_column = j * s->stride - s->padding;
        VEC largest = (AT(x, start + ((long)top * s->width + left) * LANES) - mean) * scale + bias;
        MASK at = (MASK){0} + (top - first_row) * s->kernel_width + left - first_column;
        if (side > 0 && bottom - top == side && right - left == side) {
          UNROLL for (int r = 0; r < side; r++) UNROLL for (int c = 0; c < side; c++) TAKE(top + r, left + c)
        } else {
          for (int r = top; r < bottom; r++)
            for (int c = left; c < right; c++) TAKE(r, c)
        }
        if (rectifies) at = SELECT_MASK(largest <= 0, (MASK){0} + NO_ELEMENT, at);
        if (rectifies) largest = RECTIFIED(largest);
        PUT(y, to, largest, x.halves != 0)
        if (largest_at) *(BYTES *)(largest_at + to) = __builtin_convertvector(at, BYTES);
      }
  }
}

#undef TAKE

FUNCTION void NAME(normalize_pool)(
    const pooling_shape *s, activation x, const float *mean, const float *scale, const float *bias, int rectifies,
    activation y, uint8_t *largest_at, int samples) {
  // Known, small kernels go without loops.
  const int side = s->kernel_height == s->kernel_width ? s->kernel_height : 0;
#define POOL(side, x) NAME(normalize_pool_of)(s, side, x, mean, scale, bias, rectifies, y, largest_at, samples)
#define BY_SIDE(x)                                                                                                     \
  if (side == 3) POOL(3, x);                                                                                           \
  else if (side == 2) POOL(2, x);                                                                                      \
  else POOL(0, x);
  if (x.halves) { BY_SIDE(HALVES_OF(x)) } else { BY_SIDE(FLOATS(x)) }
#undef BY_SIDE
#undef POOL
}

// The windows along one side that a pixel lies in; only one if they tile the image.
#define WINDOWS(first, last, pixel, kernel, outputs)                                                                   \
  const int first = tile                            ? pixel / stride                                                   \
                    : pixel + s->padding < (kernel) ? 0                                                                \
                                                    : (pixel + s->padding - (kernel)) / stride + 1;                    \
  const int last = tile ? first : (int)min((outputs)-1, (pixel + s->padding) / stride)

INLINE void NAME(pool_gradient_sums_of)(
    const pooling_shape *s, int stride, int tile, activation dy, const uint8_t *largest_at, activation x,
    const float *means, activation dz, int samples, double *sums) {
  const long image = (long)s->height * s->width * LANES, pooled = (long)s->output_height * s->output_width * LANES;
  const int blocks = s->channels / LANES;
  for (int block = 0; block < blocks; block++) {
    const VEC mean = LOAD(means + block * LANES);
    DOUBLES sum = {0}, products = {0};
    for (int n = 0; n < samples; n++) {
      const long windows = ((long)n * blocks + block) * pooled;
      long p = ((long)n * blocks + block) * image;
      for (int r = 0; r < s->height; r++) {
        WINDOWS(top, bottom, r, s->kernel_height, s->output_height);
        for (int first = 0; first < s->width; first += RUN) {
          VEC a = {0}, q = {0};
          for (int c = first; c < min(first + RUN, s->width); c++, p += LANES) {
            WINDOWS(left, right, c, s->kernel_width, s->output_width);
            VEC passed = {0};
            for (int i = top; i <= bottom; i++)
              for (int j = left; j <= right; j++) {
                const long w = windows + ((long)i * s->output_width + j) * LANES;
                const int here = tile ? r % stride * stride + c % stride
                                      : (r + s->padding - i * stride) * s->kernel_width + c + s->padding - j * stride;
                const VEC given = IN_FLOATS(dy, w), d = x.halves ? ROUNDED(given) : given;
                const MASK at = __builtin_convertvector(*(const BYTES *)(largest_at + w), MASK);
                passed += (VEC)((MASK)d & (at == here));
              }
            const VEC d = x.halves ? ROUNDED(passed) : passed;
            PUT(dz, p, d, 0)
            a += d;
            q += d * (AT(x, p) - mean);
          }
          sum += WIDEN(a);
          products += WIDEN(q);
        }
      }
    }
    // Once, so that sums made apart and added later have the same bits.
    *(DOUBLES *)(sums + block * LANES) += sum;
    *(DOUBLES *)(sums + s->channels + block * LANES) += products;
  }
}

#undef WINDOWS

FUNCTION void NAME(pool_gradient_sums)(
    const pooling_shape *s, activation dy, const uint8_t *largest_at, activation x, const float *mean, activation dz,
    int samples, double *sums) {
  const int stride = s->stride;
  const int tile = s->padding == 0 && s->kernel_height == stride && s->kernel_width == stride &&
                   s->height == s->output_height * stride && s->width == s->output_width * stride;
  // A division by a stride that is known costs nothing.
#define SUMS(stride, tile, dy, x)                                                                                      \
  NAME(pool_gradient_sums_of)(s, stride, tile, dy, largest_at, x, mean, dz, samples, sums)
#define BY_STRIDE(dy, x)                                                                                               \
  if (stride == 2 && tile) SUMS(2, 1, dy, x);                                                                          \
  else if (stride == 2) SUMS(2, 0, dy, x);                                                                             \
  else SUMS(stride, 0, dy, x);
  if (!x.halves) { BY_STRIDE(FLOATS(dy), FLOATS(x)) }
  else if (dy.halves) { BY_STRIDE(HALVES_OF(dy), HALVES_OF(x)) }
  else { BY_STRIDE(FLOATS(dy), HALVES_OF(x)) }
#undef BY_STRIDE
#undef SUMS
}
