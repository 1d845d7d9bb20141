// From Floats to bf16 and back.

INLINE void NAME(round_run)(const float *x, float *y, uint16_t *kept, long count) {
  for (long i = 0; i < count; i += LANES) {
    const HALVES halves = HALVED(LOAD(x + i));
    if (y) STORE(y + i, EXPANDED(halves));
    if (kept) STORE_HALVES(kept + i, halves);
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
  for (; i + LANES <= count; i += LANES) STORE(y + i, EXPANDED(LOAD_HALVES(kept + i)));
  for (; i < count; i++) {
    const uint32_t word = (uint32_t)kept[i] << 16;
    __builtin_memcpy(y + i, &word, sizeof word);
  }
}
