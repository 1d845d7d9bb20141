// Winograd's convolutions by scheme, which must be known where the transforms are inlined.

#define CASE(SCHEME, PASS, ...)                                                                                        \
  case SCHEME: NAME(PASS##_tiles)(SCHEME, __VA_ARGS__); break;
#define CASES(PASS, ...)                                                                                               \
  CASE(PIXEL, PASS, __VA_ARGS__)                                                                                       \
  CASE(PAIR, PASS, __VA_ARGS__)                                                                                        \
  CASE(F2, PASS, __VA_ARGS__)                                                                                          \
  CASE(F4, PASS, __VA_ARGS__)                                                                                          \
  CASE(DOWN4, PASS, __VA_ARGS__)                                                                                       \
  case STEM: NAME(stem_##PASS)(__VA_ARGS__); break;                                                                    \
  default: __builtin_unreachable();

FUNCTION void NAME(forward)(
    const winograd_shape *s, const float *x, const float *weight, const float *bias, float *y, int samples,
    float *scratch, stretch *ahead) {
  switch (scheme_of(s)) {
    CASE(UP4, forward, s, x, weight, bias, y, samples, scratch, ahead)
    CASES(forward, s, x, weight, bias, y, samples, scratch, ahead)
  }
}

FUNCTION void NAME(backward_weights)(
    const winograd_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds,
    const summand *summands, int count, float *scratch) {
  switch (scheme_of(s)) { CASES(backward_weights, s, x, dy, d_weight, d_bias, adds, summands, count, scratch) }
}

#undef CASES
#undef CASE
