// Activation functions, and gradients through them in terms of their results.

#define MAGIC 0x1.8p23f

// exp(x) - less, for x up to 88, exact near 0 if that is 1: with n the integer nearest to x / ln 2 and r = x - n ln 2,
//
//     exp(x) - less = 2^n (exp(r) - 1) + (2^n - less),   |r| <= ln(2) / 2,
//
// where Taylor's series of degree 7 errs by less than a tenth of a unit of the last place. Added to 1.5 * 2^23, a
// number is rounded to an integer, found in its last bits.
INLINE VEC NAME(exponential)(VEC x, float less) {
  // Below -87 it is exp(-87), less than 2e-38; comparisons keep NaN.
  x = SELECT(x < -87, (VEC){0} - 87, x);
  x = SELECT(x > 88, (VEC){0} + 88, x);
  const VEC shifted = x * 0x1.715476p0f + MAGIC, n = shifted - MAGIC;
  // ln 2 in two parts, of which the first has so few bits that its product with n is exact.
  const VEC coarse = x - n * 0x1.63p-1f, r = coarse + n * 0x1.bd0106p-13f;
  VEC series = r * (1 / 5040.f) + 1 / 720.f;
  series = series * r + 1 / 120.f;
  series = series * r + 1 / 24.f;
  series = series * r + 1 / 6.f;
  series = series * r + .5f;
  series = series * (r * r) + r;
  const VEC power = (VEC)(((MASK)shifted << 23) + (127 << 23));
  return series * power + (power - less);
}

#undef MAGIC

INLINE VEC NAME(activated)(activation_function function, VEC x) {
  if (function == RELU) return RECTIFIED(x);
  const VEC e = NAME(exponential)(function == TANH ? 2 * x : -x, 1);
  return function == TANH ? e / (2 + e) : 1 / (2 + e);
}

INLINE VEC NAME(gradient_through)(activation_function function, VEC dy, VEC y) {
  if (function == RELU) return SELECT(y <= 0, (VEC){0}, dy);
  return function == TANH ? dy * (1 - y * y) : dy * (y * (1 - y));
}

// The first elements of a vector, as many as there are.
INLINE VEC NAME(load_first)(const float *from, long count) {
  if (count >= LANES) return LOAD(from);
  VEC v = {0};
  __builtin_memcpy(&v, from, count * sizeof *from);
  return v;
}

INLINE void NAME(store_first)(VEC v, float *to, long count) {
  if (count >= LANES) STORE(to, v);
  else __builtin_memcpy(to, &v, count * sizeof *to);
}

// The compiler makes a loop for ReLU, and one for the others.
#define BY_FUNCTION(...)                                                                                               \
  if (function == RELU) {                                                                                              \
    const activation_function function = RELU;                                                                         \
    __VA_ARGS__                                                                                                        \
  } else {                                                                                                             \
    __VA_ARGS__                                                                                                        \
  }

// Whole vectors of what is left too, so that an element's bits do not depend on its place.
FUNCTION void NAME(activate)(activation_function function, const float *x, float *y, long count) {
  BY_FUNCTION(for (long i = 0; i < count; i += LANES) {
    const VEC v = NAME(activated)(function, NAME(load_first)(x + i, count - i));
    NAME(store_first)(v, y + i, count - i);
  })
}

FUNCTION void NAME(activate_backward)(
    activation_function function, const float *dy, const float *y, float *dx, long count) {
  BY_FUNCTION(for (long i = 0; i < count; i += LANES) {
    const VEC given = NAME(load_first)(dy + i, count - i), result = NAME(load_first)(y + i, count - i);
    NAME(store_first)(NAME(gradient_through)(function, given, result), dx + i, count - i);
  })
}

#undef BY_FUNCTION

FUNCTION double NAME(exponentials)(const float *x, float largest, float *y, long count) {
  DOUBLES sums = {0};
  for (long i = 0; i < count; i += LANES) {
    const VEC e = NAME(exponential)(NAME(load_first)(x + i, count - i) - largest, 0);
    sums += WIDEN(SELECT(NUMBERS < (int)(count - i), e, (VEC){0}));
    if (y) NAME(store_first)(e, y + i, count - i);
  }
  double sum = 0;
  for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
  return sum;
}
