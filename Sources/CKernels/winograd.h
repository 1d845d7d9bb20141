// Winograd's convolutions by scheme, which must be known where the transforms are inlined.

FUNCTION void NAME(forward)(
    const winograd_shape *s, const float *x, const float *weight, const float *bias, float *y, int samples,
    float *scratch, stretch *ahead) {
#define CASE(SCHEME)                                                                                                   \
  case SCHEME: NAME(forward_tiles)(SCHEME, s, x, weight, bias, y, samples, scratch, ahead); break;
  switch (scheme_of(s)) {
    CASE(PIXEL)
    CASE(PAIR)
    CASE(F2)
    CASE(F4)
    CASE(DOWN4)
    CASE(UP4)
    case STEM: NAME(stem_forward)(s, x, weight, bias, y, samples, scratch, ahead); break;
    default: __builtin_unreachable();
  }
#undef CASE
}

FUNCTION void NAME(backward_weights)(
    const winograd_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds, int samples,
    float *scratch) {
#define CASE(SCHEME)                                                                                                   \
  case SCHEME: NAME(backward_weights_tiles)(SCHEME, s, x, dy, d_weight, d_bias, adds, samples, scratch); break;
  switch (scheme_of(s)) {
    CASE(PIXEL)
    CASE(PAIR)
    CASE(F2)
    CASE(F4)
    CASE(DOWN4)
    case STEM: NAME(stem_backward_weights)(s, x, dy, d_weight, d_bias, adds, samples, scratch); break;
    default: __builtin_unreachable();
  }
#undef CASE
}
