// Batch norm's passes: sums over samples and pixels, and elementwise transformations, a block of channels at a time.

typedef double NAME(doubles) __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
#define DOUBLES NAME(doubles)
#define WIDEN(v) __builtin_convertvector(v, DOUBLES)

// The longest run of pixels that one Float accumulator takes before it is flushed to Double.
enum { NAME(run) = 256 };

// For each block of channels of each sample, and the place of its pixels.
#define FOR_EACH_PLANE(s, samples)                                                                                     \
  const long plane = (long)(s)->positions * LANES;                                                                     \
  for (long n = 0, start = 0; n < (samples); n++)                                                                      \
    for (int c = 0; c < (s)->channels; c += LANES, start += plane)

#define FOR_EACH_PIXEL(start) for (long p = (start); p < (start) + plane; p += LANES)

FUNCTION void NAME(moments)(const norm_shape *s, const float *x, int samples, double *sums) {
  const long plane = (long)s->positions * LANES, sample = plane * (s->channels / LANES), run = 4 * NAME(run) * LANES;
  for (int c = 0; c < s->channels && samples > 0; c += LANES, x += plane) {
    const VEC shift = LOAD(x);
    DOUBLES sum = {0}, squares = {0};
    for (int n = 0; n < samples; n++)
      for (long first = 0; first < plane; first += run) {
        const float *at = x + n * sample + first, *const end = x + n * sample + min(first + run, plane);
        VEC a[4] = {{0}}, q[4] = {{0}};
        for (; at + 4 * LANES <= end; at += 4 * LANES)
          UNROLL for (int i = 0; i < 4; i++) {
            const VEC d = LOAD(at + i * LANES) - shift;
            a[i] += d;
            q[i] += d * d;
          }
        for (; at < end; at += LANES) {
          const VEC d = LOAD(at) - shift;
          a[0] += d;
          q[0] += d * d;
        }
        sum += WIDEN((a[0] + a[1]) + (a[2] + a[3]));
        squares += WIDEN((q[0] + q[1]) + (q[2] + q[3]));
      }
    // The sums about the shift, as sums about 0.
    const DOUBLES shifts = WIDEN(shift), count = (DOUBLES){0} + (double)samples * s->positions;
    *(DOUBLES *)(sums + c) += sum + count * shifts;
    *(DOUBLES *)(sums + s->channels + c) += squares + 2 * shifts * sum + count * shifts * shifts;
  }
}

INLINE void NAME(gradient_sums_of)(
    const norm_shape *s, const float *dy, const float *y, const float *x, const float *means, float *dz, float *dz_again,
    int samples, double *sums) {
  const long run = 4 * NAME(run) * LANES;
  FOR_EACH_PLANE(s, samples) {
    const VEC mean = LOAD(means + c);
    for (long first = start; first < start + plane; first += run) {
      const long end = min(first + run, start + plane);
      VEC a[4] = {{0}}, q[4] = {{0}};
#define ADD(i, p)                                                                                                      \
  {                                                                                                                    \
    const VEC zero = {0}, d = y ? SELECT(LOAD(y + (p)) <= 0, zero, LOAD(dy + (p))) : LOAD(dy + (p));                    \
    STORE(dz + (p), d);                                                                                                \
    if (dz_again) STORE(dz_again + (p), d);                                                                            \
    a[i] += d;                                                                                                         \
    q[i] += d * (LOAD(x + (p)) - mean);                                                                                \
  }
      long p = first;
      for (; p + 4 * LANES <= end; p += 4 * LANES) UNROLL for (int i = 0; i < 4; i++) ADD(i, p + i * LANES)
      for (; p < end; p += LANES) ADD(0, p)
#undef ADD
      *(DOUBLES *)(sums + c) += WIDEN((a[0] + a[1]) + (a[2] + a[3]));
      *(DOUBLES *)(sums + s->channels + c) += WIDEN((q[0] + q[1]) + (q[2] + q[3]));
    }
  }
}

FUNCTION void NAME(gradient_sums)(
    const norm_shape *s, const float *dy, const float *y, const float *x, const float *mean, float *dz, float *dz_again,
    int samples, double *sums) {
  if (y && dz_again) NAME(gradient_sums_of)(s, dy, y, x, mean, dz, dz_again, samples, sums);
  else if (y) NAME(gradient_sums_of)(s, dy, y, x, mean, dz, 0, samples, sums);
  else if (dz_again) NAME(gradient_sums_of)(s, dy, 0, x, mean, dz, dz_again, samples, sums);
  else NAME(gradient_sums_of)(s, dy, 0, x, mean, dz, 0, samples, sums);
}

// max(v, 0) = (v + |v|) / 2, exactly; unlike a comparison it keeps NaN, so that a diverged run shows in the loss.
#define RECTIFIED(v) (.5f * ((v) + (VEC)((MASK)(v) & 0x7fffffff)))

INLINE void NAME(normalize_with)(
    const norm_shape *s, const float *x, const float *means, const float *scales, const float *biases,
    const float *residual, int rectifies, float *y, int samples) {
  FOR_EACH_PLANE(s, samples) {
    const VEC mean = LOAD(means + c), scale = LOAD(scales + c), bias = LOAD(biases + c);
    FOR_EACH_PIXEL(start) {
      // The mean first, so that a constant channel gives its bias exactly.
      VEC v = (LOAD(x + p) - mean) * scale + bias;
      if (residual) v += LOAD(residual + p);
      STORE(y + p, rectifies ? RECTIFIED(v) : v);
    }
  }
}

FUNCTION void NAME(normalize)(
    const norm_shape *s, const float *x, const float *mean, const float *scale, const float *bias, const float *residual,
    int rectifies, float *y, int samples) {
  if (residual && rectifies) NAME(normalize_with)(s, x, mean, scale, bias, residual, 1, y, samples);
  else if (residual) NAME(normalize_with)(s, x, mean, scale, bias, residual, 0, y, samples);
  else if (rectifies) NAME(normalize_with)(s, x, mean, scale, bias, 0, 1, y, samples);
  else NAME(normalize_with)(s, x, mean, scale, bias, 0, 0, y, samples);
}

FUNCTION void NAME(normalize_backward)(
    const norm_shape *s, const float *dz, const float *x, const float *means, const float *scales, const float *shifts,
    const float *slopes, int scales_last, float *dx, int samples) {
  FOR_EACH_PLANE(s, samples) {
    const VEC mean = LOAD(means + c), scale = LOAD(scales + c), shift = LOAD(shifts + c), slope = LOAD(slopes + c);
    if (scales_last) {
      FOR_EACH_PIXEL(start) STORE(dx + p, scale * (LOAD(dz + p) - shift - (LOAD(x + p) - mean) * slope));
    } else {
      FOR_EACH_PIXEL(start) STORE(dx + p, scale * LOAD(dz + p) - shift - (LOAD(x + p) - mean) * slope);
    }
  }
}

#undef DOUBLES
#undef WIDEN
#undef RECTIFIED
#undef FOR_EACH_PLANE
#undef FOR_EACH_PIXEL
