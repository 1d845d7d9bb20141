// Elementwise passes over gradients and parameters.

FUNCTION void NAME(add)(const float *a, const float *b, float *sum, long count) {
  long i = 0;
  for (; i + LANES <= count; i += LANES) STORE(sum + i, LOAD(a + i) + LOAD(b + i));
  for (; i < count; i++) sum[i] = a[i] + b[i];
}

FUNCTION void NAME(update)(
    const sgd_settings *s, const float *gradient, float *velocity, const float *parameter, float *updated,
    long count) {
  const float rate = s->learning_rate, momentum = s->momentum, decay = s->weight_decay;
  const int streams = s->is_shared && (uintptr_t)updated % (4 * LANES) == 0;
  long i = 0;
  for (; i + LANES <= count; i += LANES) {
    const VEC p = LOAD(parameter + i), g = LOAD(gradient + i) + decay * p, v = momentum * LOAD(velocity + i) + g;
    STORE(velocity + i, v);
    const VEC next = p - rate * (s->nesterov ? g + momentum * v : v);
    // A line that another core has read is slow to write in the cache: its copies must be called back first.
    if (streams) STREAM(updated + i, next);
    else STORE(updated + i, next);
  }
  for (; i < count; i++) {
    const float g = gradient[i] + decay * parameter[i];
    velocity[i] = momentum * velocity[i] + g;
    updated[i] = parameter[i] - rate * (s->nesterov ? g + momentum * velocity[i] : velocity[i]);
  }
}

// A vector at a time, which a call of sqrt is not.
FUNCTION void NAME(roots)(double *x, double added, long count) {
  for (long i = 0; i < count; i += LANES) {
    DOUBLES *const at = (DOUBLES *)(x + i);
    *at = 1 / __builtin_elementwise_sqrt(*at + added);
  }
}
