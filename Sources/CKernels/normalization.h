// Batch norm's passes: sums over samples and pixels, and elementwise transformations, a band of channels at a time.

// Does something with BAND blocks from channel c on, or one, for all channels; the compiler makes a loop for each.
#define FOR_EACH_BAND(s, DO)                                                                                           \
  for (int c = 0, next; c < (s)->channels; c = next) {                                                                 \
    next = c + BAND * LANES;                                                                                           \
    if ((s)->positions == 1 && next <= (s)->channels) {                                                                \
      DO(BAND);                                                                                                        \
    } else {                                                                                                           \
      next = c + LANES;                                                                                                \
      DO(1);                                                                                                           \
    }                                                                                                                  \
  }

// Adds up some blocks of channels over all pixels: ADD(i, p) adds the vector at p to the accumulators a[i] and q[i].
// Those are four, so that additions do not wait for each other: for a block's pixels by turns, or for a pixel's blocks.
#define SUM_PIXELS(s, c, blocks, samples, a_sums, q_sums)                                                              \
  const pixel_grid g = pixel_grid_of(s, samples, LANES, 0);                                                            \
  const long pixels = BAND / (blocks), apart = (blocks) > 1 ? LANES : g.step;                                          \
  for (long n = 0; n < g.images; n++) {                                                                                \
    const long start = (n * (s)->channels + (c)) * (s)->positions;                                                     \
    for (long first = 0; first < g.pixels; first += pixels * RUN) {                                                    \
      const long end = min(first + pixels * RUN, g.pixels);                                                            \
      VEC a[BAND] = {{0}}, q[BAND] = {{0}};                                                                            \
      long k = first, p = start + first * g.step;                                                                      \
      for (; k + pixels <= end; k += pixels, p += pixels * g.step)                                                     \
        UNROLL for (int i = 0; i < BAND; i++) ADD(i, p + i * apart)                                                    \
      for (; k < end; k++, p += g.step) ADD(0, p)                                                                      \
      if ((blocks) == 1) a[0] = (a[0] + a[1]) + (a[2] + a[3]), q[0] = (q[0] + q[1]) + (q[2] + q[3]);                   \
      UNROLL for (int i = 0; i < (blocks); i++) a_sums[i] += WIDEN(a[i]), q_sums[i] += WIDEN(q[i]);                    \
    }                                                                                                                  \
  }

INLINE void NAME(moments_of_band)(
    const norm_shape *s, activation x, int rounds, int c, int blocks, int samples, double *sums) {
  VEC shift[BAND];
  DOUBLES sum[BAND] = {{0}}, squares[BAND] = {{0}};
  UNROLL for (int i = 0; i < blocks; i++) {
    const VEC given = IN_FLOATS(x, ((long)c + i * LANES) * s->positions);
    shift[i] = rounds ? ROUNDED(given) : given;
  }
#define ADD(i, p)                                                                                                      \
  {                                                                                                                    \
    const VEC v = IN_FLOATS(x, p), d = (rounds ? ROUNDED(v) : v) - shift[(i) % blocks];                                \
    if (rounds) STORE_HALVES(x.halves + (p), HALVED(v));                                                               \
    a[i] += d;                                                                                                         \
    q[i] += d * d;                                                                                                     \
  }
  SUM_PIXELS(s, c, blocks, samples, sum, squares)
#undef ADD
  UNROLL for (int i = 0; i < blocks; i++, c += LANES) {
    // The sums about the shift, as sums about 0.
    const DOUBLES shifts = WIDEN(shift[i]), count = (DOUBLES){0} + (double)samples * s->positions;
    *(DOUBLES *)(sums + c) += sum[i] + count * shifts;
    *(DOUBLES *)(sums + s->channels + c) += squares[i] + 2 * shifts * sum[i] + count * shifts * shifts;
  }
}

INLINE void NAME(moments_of)(const norm_shape *s, activation x, int rounds, int samples, double *sums) {
  if (samples == 0) return;
#define SUM(blocks) NAME(moments_of_band)(s, x, rounds, c, blocks, samples, sums)
  FOR_EACH_BAND(s, SUM)
#undef SUM
}

FUNCTION void NAME(moments)(const norm_shape *s, activation x, int samples, double *sums) {
  if (!x.floats) NAME(moments_of)(s, HALVES_OF(x), 0, samples, sums);
  else if (x.halves) NAME(moments_of)(s, x, 1, samples, sums);
  else NAME(moments_of)(s, FLOATS(x), 0, samples, sums);
}

INLINE void NAME(gradient_sums_of_band)(
    const norm_shape *s, activation_function function, activation dy, activation y, activation x, const float *means,
    activation dz, activation dz_again, int c, int blocks, int samples, double *sums) {
  VEC mean[BAND];
  DOUBLES sum[BAND] = {{0}}, products[BAND] = {{0}};
  UNROLL for (int i = 0; i < blocks; i++) mean[i] = LOAD(means + c + i * LANES);
#define ADD(i, p)                                                                                                      \
  {                                                                                                                    \
    /* Whether dy is rounded before or after a ReLU is the same. */                                                    \
    const VEC given = x.halves && function > RELU ? ROUNDED(IN_FLOATS(dy, p)) : IN_FLOATS(dy, p);                      \
    const VEC passed = IS_THERE(y) ? NAME(gradient_through)(function, given, AT(y, p)) : given;                        \
    const VEC d = x.halves ? ROUNDED(passed) : passed;                                                                 \
    PUT(dz, p, passed, x.halves != 0)                                                                                  \
    PUT(dz_again, p, passed, x.halves != 0)                                                                            \
    a[i] += d;                                                                                                         \
    q[i] += d * (AT(x, p) - mean[(i) % blocks]);                                                                       \
  }
  SUM_PIXELS(s, c, blocks, samples, sum, products)
#undef ADD
  // Once, so that sums made apart and added later have the same bits.
  UNROLL for (int i = 0; i < blocks; i++, c += LANES) {
    *(DOUBLES *)(sums + c) += sum[i];
    *(DOUBLES *)(sums + s->channels + c) += products[i];
  }
}

INLINE void NAME(gradient_sums_of)(
    const norm_shape *s, activation_function function, activation dy, activation y, activation x, const float *means,
    activation dz, activation dz_again, int samples, double *sums) {
#define SUM(blocks)                                                                                                    \
  NAME(gradient_sums_of_band)(s, function, dy, y, x, means, dz, dz_again, c, blocks, samples, sums)
  FOR_EACH_BAND(s, SUM)
#undef SUM
}

FUNCTION void NAME(gradient_sums)(
    const norm_shape *s, activation_function function, activation dy, activation y, activation x, const float *mean,
    activation dz, activation dz_again, int samples, double *sums) {
#define SUMS(function, dy, x, dz)                                                                                      \
  NAME(gradient_sums_of)(s, function, dy, y, x, mean, dz, dz_again, samples, sums)
// The compiler makes loops for each form of the copy where it is common.
#define BY_FUNCTION(dy, x, dz)                                                                                         \
  if (function > RELU) BY_FORM(y, SUMS(function, dy, x, dz))                                                           \
  else BY_FORM(y, BY_FORM(dz_again, SUMS(RELU, dy, x, dz)))
  if (x.halves && dy.halves) BY_FUNCTION(HALVES_OF(dy), HALVES_OF(x), dz)
  else if (x.halves) BY_FUNCTION(FLOATS(dy), HALVES_OF(x), dz)
  else BY_FUNCTION(FLOATS(dy), FLOATS(x), FLOATS(dz))
#undef BY_FUNCTION
#undef SUMS
}

// Does something with the vector at p of every pixel, for some blocks from channel c on, of which it is number i.
#define FOR_EACH_PIXEL(g, s, n, c, blocks, ...)                                                                        \
  for (long pixel = 0, start = ((n) * (s)->channels + (c)) * (s)->positions; pixel < (g).pixels;                       \
       pixel++, start += (g).step)                                                                                     \
    UNROLL for (int i = 0; i < (blocks); i++) {                                                                        \
      const long p = start + i * LANES;                                                                                \
      __VA_ARGS__                                                                                                      \
    }

INLINE void NAME(normalize_band)(
    const norm_shape *s, activation_function function, activation x, const float *means, const float *scales,
    const float *biases, activation residual, activation y, pixel_grid g, long n, int c, int blocks) {
  VEC mean[BAND], scale[BAND], bias[BAND];
  MASK is_used[BAND];
  UNROLL for (int i = 0, k = c; i < blocks; i++, k += LANES) {
    mean[i] = LOAD(means + k), scale[i] = LOAD(scales + k), bias[i] = LOAD(biases + k);
    is_used[i] = NUMBERS < s->used - k;
  }
  FOR_EACH_PIXEL(g, s, n, c, blocks, {
    // The mean first, so that a constant channel gives its bias exactly.
    VEC v = (AT(x, p) - mean[i]) * scale[i] + bias[i];
    if (IS_THERE(residual)) v += AT(residual, p);
    if (function != NO_FUNCTION) v = NAME(activated)(function, v);
    // The others keep the padding's 0.
    if (function == SIGMOID) v = (VEC)((MASK)v & is_used[i]);
    PUT(y, p, v, x.halves != 0)
  })
}

INLINE void NAME(normalize_with)(
    const norm_shape *s, activation_function function, activation x, const float *means, const float *scales,
    const float *biases, activation residual, activation y, int samples) {
  const pixel_grid g = pixel_grid_of(s, samples, LANES, s->channels >= WIDE);
#define NORMALIZE(blocks) NAME(normalize_band)(s, function, x, means, scales, biases, residual, y, g, n, c, blocks)
  for (long n = 0; n < g.images; n++) FOR_EACH_BAND(s, NORMALIZE)
#undef NORMALIZE
}

FUNCTION void NAME(normalize)(
    const norm_shape *s, activation_function function, activation x, const float *mean, const float *scale,
    const float *bias, activation residual, activation y, int samples) {
#define NORMALIZE(function, x, y) NAME(normalize_with)(s, function, x, mean, scale, bias, residual, y, samples)
#define BY_FUNCTION(x, y)                                                                                              \
  if (function > RELU) NORMALIZE(function, x, y);                                                                      \
  else if (function == RELU) BY_FORM(residual, NORMALIZE(RELU, x, y))                                                  \
  else BY_FORM(residual, NORMALIZE(NO_FUNCTION, x, y))
  if (x.halves) { BY_FUNCTION(HALVES_OF(x), y) } else { BY_FUNCTION(FLOATS(x), FLOATS(y)) }
#undef BY_FUNCTION
#undef NORMALIZE
}

INLINE void NAME(normalize_backward_band)(
    const norm_shape *s, activation dz, activation x, const float *means, const float *scales, const float *shifts,
    const float *slopes, int scales_last, activation dx, pixel_grid g, long n, int c, int blocks) {
  VEC mean[BAND], scale[BAND], shift[BAND], slope[BAND];
  UNROLL for (int i = 0, k = c; i < blocks; i++, k += LANES) {
    mean[i] = LOAD(means + k), scale[i] = LOAD(scales + k), shift[i] = LOAD(shifts + k), slope[i] = LOAD(slopes + k);
  }
  FOR_EACH_PIXEL(g, s, n, c, blocks, {
    const VEC v = scales_last ? scale[i] * (AT(dz, p) - shift[i] - (AT(x, p) - mean[i]) * slope[i])
                              : scale[i] * AT(dz, p) - shift[i] - (AT(x, p) - mean[i]) * slope[i];
    PUT(dx, p, v, x.halves != 0)
  })
}

INLINE void NAME(normalize_backward_of)(
    const norm_shape *s, activation dz, activation x, const float *means, const float *scales, const float *shifts,
    const float *slopes, int scales_last, activation dx, int samples) {
  const pixel_grid g = pixel_grid_of(s, samples, LANES, s->channels >= WIDE);
#define NORMALIZE(blocks)                                                                                              \
  NAME(normalize_backward_band)(s, dz, x, means, scales, shifts, slopes, scales_last, dx, g, n, c, blocks)
  for (long n = 0; n < g.images; n++) FOR_EACH_BAND(s, NORMALIZE)
#undef NORMALIZE
}

FUNCTION void NAME(normalize_backward)(
    const norm_shape *s, activation dz, activation x, const float *means, const float *scales, const float *shifts,
    const float *slopes, int scales_last, activation dx, int samples) {
#define NORMALIZE(form, last, dx)                                                                                      \
  NAME(normalize_backward_of)(s, form(dz), form(x), means, scales, shifts, slopes, last, dx, samples)
  if (x.halves) NORMALIZE(HALVES_OF, scales_last, dx);
  else if (scales_last) NORMALIZE(FLOATS, 1, FLOATS(dx));
  else NORMALIZE(FLOATS, 0, FLOATS(dx));
#undef NORMALIZE
}

#undef FOR_EACH_PIXEL
#undef SUM_PIXELS
#undef FOR_EACH_BAND
