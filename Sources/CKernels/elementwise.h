// Elementwise passes over gradients and parameters, and from Floats to bf16 and back.

FUNCTION void NAME(add)(const float *a, const float *b, float *sum, long count) {
  long i = 0;
  for (; i + LANES <= count; i += LANES) STORE(sum + i, LOAD(a + i) + LOAD(b + i));
  for (; i < count; i++) sum[i] = a[i] + b[i];
}

FUNCTION void NAME(update)(
    const sgd_settings *s, const float *gradient, float *velocity, float *parameter, long count) {
  const float rate = s->learning_rate, momentum = s->momentum, decay = s->weight_decay;
  long i = 0;
  for (; i + LANES <= count; i += LANES) {
    const VEC p = LOAD(parameter + i), g = LOAD(gradient + i) + decay * p, v = momentum * LOAD(velocity + i) + g;
    STORE(velocity + i, v);
    STORE(parameter + i, p - rate * (s->nesterov ? g + momentum * v : v));
  }
  for (; i < count; i++) {
    const float g = gradient[i] + decay * parameter[i];
    velocity[i] = momentum * velocity[i] + g;
    parameter[i] -= rate * (s->nesterov ? g + momentum * velocity[i] : velocity[i]);
  }
}

INLINE void NAME(round_run)(const float *x, float *y, uint16_t *kept, long count) {
  for (long i = 0; i < count; i += LANES) {
    const VEC rounded = ROUNDED(LOAD(x + i));
    if (y) STORE(y + i, rounded);
    if (kept) KEEP(kept + i, rounded);
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
  for (; i + LANES <= count; i += LANES) STORE(y + i, EXPANDED(kept + i));
  for (; i < count; i++) {
    const uint32_t word = (uint32_t)kept[i] << 16;
    __builtin_memcpy(y + i, &word, sizeof word);
  }
}
