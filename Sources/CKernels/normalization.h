// Batch norm's passes: sums over samples and pixels, and elementwise transformations, a block of channels at a time.

// For each block of channels of each image, and the place of its pixels.
#define FOR_EACH_PLANE(s, g)                                                                                           \
  for (long n = 0, start = 0; n < (g).images; n++)                                                                     \
    for (int c = 0; c < (s)->channels; c += LANES, start += (long)(s)->positions * LANES)

#define FOR_EACH_PIXEL(g, start) for (long i = 0, p = (start); i < (g).pixels; i++, p += (g).step)

// Adds up a block of channels over all pixels: ADD(i, p) adds those at p to the accumulators a[i] and q[i].
#define SUM_PIXELS(s, c, samples, a_sum, q_sum)                                                                        \
  const pixel_grid g = pixel_grid_of(s, samples, LANES);                                                               \
  for (long n = 0; n < g.images; n++) {                                                                                \
    const long start = (n * (s)->channels + (c)) * (s)->positions;                                                     \
    for (long first = 0; first < g.pixels; first += 4 * RUN) {                                                         \
      const long end = min(first + 4 * RUN, g.pixels);                                                                 \
      VEC a[4] = {{0}}, q[4] = {{0}};                                                                                  \
      long k = first, p = start + first * g.step;                                                                      \
      for (; k + 4 <= end; k += 4, p += 4 * g.step) UNROLL for (int i = 0; i < 4; i++) ADD(i, p + i * g.step)          \
      for (; k < end; k++, p += g.step) ADD(0, p)                                                                      \
      a_sum += WIDEN((a[0] + a[1]) + (a[2] + a[3]));                                                                   \
      q_sum += WIDEN((q[0] + q[1]) + (q[2] + q[3]));                                                                   \
    }                                                                                                                  \
  }

INLINE void NAME(moments_of)(const norm_shape *s, activation x, int rounds, int samples, double *sums) {
  for (int c = 0; c < s->channels && samples > 0; c += LANES) {
    const VEC given = IN_FLOATS(x, (long)c * s->positions), shift = rounds ? ROUNDED(given) : given;
    DOUBLES sum = {0}, squares = {0};
#define ADD(i, p)                                                                                                      \
  {                                                                                                                    \
    const VEC v = IN_FLOATS(x, p), d = (rounds ? ROUNDED(v) : v) - shift;                                              \
    if (rounds) STORE_HALVES(x.halves + (p), HALVED(v));                                                               \
    a[i] += d;                                                                                                         \
    q[i] += d * d;                                                                                                     \
  }
    SUM_PIXELS(s, c, samples, sum, squares)
#undef ADD
    // The sums about the shift, as sums about 0.
    const DOUBLES shifts = WIDEN(shift), count = (DOUBLES){0} + (double)samples * s->positions;
    *(DOUBLES *)(sums + c) += sum + count * shifts;
    *(DOUBLES *)(sums + s->channels + c) += squares + 2 * shifts * sum + count * shifts * shifts;
  }
}

FUNCTION void NAME(moments)(const norm_shape *s, activation x, int samples, double *sums) {
  if (!x.floats) NAME(moments_of)(s, HALVES_OF(x), 0, samples, sums);
  else if (x.halves) NAME(moments_of)(s, x, 1, samples, sums);
  else NAME(moments_of)(s, FLOATS(x), 0, samples, sums);
}

INLINE void NAME(gradient_sums_of)(
    const norm_shape *s, activation_function function, activation dy, activation y, activation x, const float *means,
    activation dz, activation dz_again, int samples, double *sums) {
  for (int c = 0; c < s->channels; c += LANES) {
    const VEC mean = LOAD(means + c);
    DOUBLES sum = {0}, products = {0};
#define ADD(i, p)                                                                                                      \
  {                                                                                                                    \
    /* Whether dy is rounded before or after a ReLU is the same. */                                                    \
    const VEC given = x.halves && function > RELU ? ROUNDED(IN_FLOATS(dy, p)) : IN_FLOATS(dy, p);                      \
    const VEC passed = IS_THERE(y) ? NAME(gradient_through)(function, given, AT(y, p)) : given;                        \
    const VEC d = x.halves ? ROUNDED(passed) : passed;                                                                 \
    PUT(dz, p, passed, x.halves != 0)                                                                                  \
    PUT(dz_again, p, passed, x.halves != 0)                                                                            \
    a[i] += d;                                                                                                         \
    q[i] += d * (AT(x, p) - mean);                                                                                     \
  }
    SUM_PIXELS(s, c, samples, sum, products)
#undef ADD
    // Once, so that sums made apart and added later have the same bits.
    *(DOUBLES *)(sums + c) += sum;
    *(DOUBLES *)(sums + s->channels + c) += products;
  }
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

INLINE void NAME(normalize_with)(
    const norm_shape *s, activation_function function, activation x, const float *means, const float *scales,
    const float *biases, activation residual, activation y, int samples) {
  const pixel_grid g = pixel_grid_of(s, samples, LANES);
  FOR_EACH_PLANE(s, g) {
    const VEC mean = LOAD(means + c), scale = LOAD(scales + c), bias = LOAD(biases + c);
    const MASK is_used = NUMBERS < s->used - c;
    FOR_EACH_PIXEL(g, start) {
      // The mean first, so that a constant channel gives its bias exactly.
      VEC v = (AT(x, p) - mean) * scale + bias;
      if (IS_THERE(residual)) v += AT(residual, p);
      if (function != NO_FUNCTION) v = NAME(activated)(function, v);
      // The others keep the padding's 0.
      if (function == SIGMOID) v = (VEC)((MASK)v & is_used);
      PUT(y, p, v, x.halves != 0)
    }
  }
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

INLINE void NAME(normalize_backward_of)(
    const norm_shape *s, activation dz, activation x, const float *means, const float *scales, const float *shifts,
    const float *slopes, int scales_last, activation dx, int samples) {
  const pixel_grid g = pixel_grid_of(s, samples, LANES);
  FOR_EACH_PLANE(s, g) {
    const VEC mean = LOAD(means + c), scale = LOAD(scales + c), shift = LOAD(shifts + c), slope = LOAD(slopes + c);
    FOR_EACH_PIXEL(g, start) {
      const VEC v = scales_last ? scale * (AT(dz, p) - shift - (AT(x, p) - mean) * slope)
                                : scale * AT(dz, p) - shift - (AT(x, p) - mean) * slope;
      PUT(dx, p, v, x.halves != 0)
    }
  }
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

#undef FOR_EACH_PLANE
#undef FOR_EACH_PIXEL
#undef SUM_PIXELS
