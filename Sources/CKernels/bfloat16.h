// bf16 is the upper half of a Float: its sign, its exponent, and 7 bits of its fraction.

typedef int32_t NAME(words) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t NAME(halves) __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
#define WORDS NAME(words)
#define HALVES NAME(halves)

// To the nearest bf16, ties to even: half a unit of the last place is added, less a little if that place is even. Infinity
// stays, and what is too large becomes infinite by the carry; NaN, which the carry could spoil, stays NaN.
INLINE void NAME(round_run)(const float *x, float *y, uint16_t *kept, long count) {
  for (long i = 0; i < count; i += LANES) {
    const WORDS word = *(const WORDS *)(x + i);
    const WORDS carried = word + 0x7fff + ((word >> 16) & 1), quiet = word | 0x400000;
    const WORDS is_nan = (word & 0x7fffffff) > 0x7f800000;
    const WORDS rounded = (is_nan & quiet) | (~is_nan & carried);
    if (y) *(WORDS *)(y + i) = rounded & ~0xffff;
    if (kept) *(HALVES *)(kept + i) = __builtin_convertvector((rounded >> 16) & 0xffff, HALVES);
  }
}

FUNCTION void NAME(round_floats)(const float *x, float *y, uint16_t *kept, long count) {
  const long whole = count / LANES * LANES;
  if (y && kept) NAME(round_run)(x, y, kept, whole);
  else if (y) NAME(round_run)(x, y, 0, whole);
  else NAME(round_run)(x, 0, kept, whole);
  if (whole == count) return;
  float rest[LANES] = {0}, rounded[LANES];
  uint16_t halves[LANES];
  for (long i = whole; i < count; i++) rest[i - whole] = x[i];
  NAME(round_run)(rest, rounded, halves, LANES);
  for (long i = whole; i < count; i++) {
    if (y) y[i] = rounded[i - whole];
    if (kept) kept[i] = halves[i - whole];
  }
}

FUNCTION void NAME(expand_halves)(const uint16_t *kept, float *y, long count) {
  long i = 0;
  for (; i + LANES <= count; i += LANES)
    *(WORDS *)(y + i) = __builtin_convertvector(*(const HALVES *)(kept + i), WORDS) << 16;
  for (; i < count; i++) {
    const uint32_t word = (uint32_t)kept[i] << 16;
    __builtin_memcpy(y + i, &word, sizeof word);
  }
}

#undef WORDS
#undef HALVES
