// Elementwise passes over gradients and parameters.

FUNCTION void NAME(add)(const float *a, const float *b, float *sum, long count) {
  long i = 0;
  for (; i + LANES <= count; i += LANES) STORE(sum + i, LOAD(a + i) + LOAD(b + i));
  for (; i < count; i++) sum[i] = a[i] + b[i];
}

// A few columns at a time, so that additions do not wait for each other.
#define ADD_ROWS(width)                                                                                                \
  for (; i + (width) * LANES <= columns; i += (width) * LANES) {                                                       \
    VEC totals[width] = {{0}};                                                                                         \
    for (long row = 0; row < rows; row++)                                                                              \
      UNROLL for (int j = 0; j < (width); j++) {                                                                       \
        const long at = row * stride + i + j * LANES;                                                                  \
        totals[j] += factors ? LOAD(x + at) * LOAD(factors + at) : LOAD(x + at);                                       \
      }                                                                                                                \
    UNROLL for (int j = 0; j < (width); j++)                                                                           \
      STORE(sums + i + j * LANES, adds ? LOAD(sums + i + j * LANES) + totals[j] : totals[j]);                          \
  }

FUNCTION void NAME(sum_rows)(
    const float *x, const float *factors, long rows, long stride, float *sums, long columns, int adds) {
  long i = 0;
  ADD_ROWS(4)
  ADD_ROWS(1)
  for (; i < columns; i++) {
    float total = 0;
    for (long row = 0; row < rows; row++) total += x[row * stride + i] * (factors ? factors[row * stride + i] : 1);
    sums[i] = adds ? sums[i] + total : total;
  }
}

#undef ADD_ROWS

// In two statements, so that the product is rounded: pixels are the same with and without fused instructions.
FUNCTION void NAME(byte_line)(const uint8_t *x, float *y, long count, float scale, float offset) {
  long i = 0;
  for (; i + LANES <= count; i += LANES) {
    const VEC product = __builtin_convertvector(*(const BYTES *)(x + i), VEC) * scale;
    STORE(y + i, product + offset);
  }
  for (; i < count; i++) {
    const float product = x[i] * scale;
    y[i] = product + offset;
  }
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

// The topmost sum stays in a register; of the others few are left at a time.
#define ADD_COLUMNS(TYPE)                                                                                              \
  {                                                                                                                    \
    TYPE below[MOST_DEPTH], top = *(const TYPE *)(rows + column);                                                      \
    long depth = 0;                                                                                                    \
    for (long r = 1; r < count; r++) {                                                                                 \
      const TYPE row = *(const TYPE *)(rows + r * width + column);                                                     \
      if (merges[r] == 0) {                                                                                            \
        below[depth++] = top;                                                                                          \
        top = row;                                                                                                     \
      } else {                                                                                                         \
        top = top + row;                                                                                               \
        for (long m = 1; m < merges[r]; m++) top = below[--depth] + top;                                               \
      }                                                                                                                \
    }                                                                                                                  \
    for (long d = 0; d < depth; d++) *(TYPE *)(sums + d * width + column) = below[d];                                  \
    *(TYPE *)(sums + depth * width + column) = top;                                                                    \
  }
FUNCTION void NAME(add_up)(const double *rows, long width, const ptrdiff_t *merges, long count, double *sums) {
  enum { MOST_DEPTH = 64 };
  long column = 0;
  for (; column + LANES <= width; column += LANES) ADD_COLUMNS(DOUBLES)
  for (; column < width; column++) ADD_COLUMNS(double)
}
#undef ADD_COLUMNS
