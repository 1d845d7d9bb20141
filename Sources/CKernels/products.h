// Matrix products: C = A B, or C += A B, where A's element (r, p) is a[r * rows_apart + p * steps_apart],
// and B's and C's columns lie in strips of two vectors.

#define MICRO_KERNEL(ROWS, VECTORS)                                                                                    \
  INLINE void NAME(product_##ROWS##x##VECTORS)(                                                                        \
      const float *a, long rows_apart, long steps_apart, const float *b, long b_stride, float *c, long c_stride,       \
      long steps, int adds) {                                                                                          \
    VEC sum[ROWS][VECTORS];                                                                                            \
    UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int v = 0; v < VECTORS; v++)                                     \
        sum[r][v] = (VEC){0};                                                                                          \
    ALIGNED for (long p = 0; p < steps; p++) {                                                                         \
      VEC row[VECTORS];                                                                                                \
      UNROLL for (int v = 0; v < VECTORS; v++) row[v] = LOAD(b + p * b_stride + v * LANES);                            \
      UNROLL for (int r = 0; r < ROWS; r++) {                                                                          \
        const float x = a[r * rows_apart + p * steps_apart];                                                           \
        UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] += x * row[v];                                              \
      }                                                                                                                \
    }                                                                                                                  \
    UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int v = 0; v < VECTORS; v++) {                                   \
      float *const to = c + r * c_stride + v * LANES;                                                                  \
      STORE(to, adds ? LOAD(to) + sum[r][v] : sum[r][v]);                                                              \
    }                                                                                                                  \
  }

// Six rows of two vectors keep twelve chains of additions in flight and fit into AVX2's 16 registers; eight chains are
// the fewest that hide an addition's latency, so that 7 and 8 rows are better cut in halves.
MICRO_KERNEL(6, 2)
MICRO_KERNEL(5, 2)
MICRO_KERNEL(4, 2)
MICRO_KERNEL(3, 2)
MICRO_KERNEL(2, 2)
MICRO_KERNEL(1, 2)
MICRO_KERNEL(6, 1)
MICRO_KERNEL(5, 1)
MICRO_KERNEL(4, 1)
MICRO_KERNEL(3, 1)
MICRO_KERNEL(2, 1)
MICRO_KERNEL(1, 1)

// AVX-512's 32 registers hold taller ones, which begin and end less often. Measured: not worth it for long products whose
// rows lie apart.
#if LANES == 16
MICRO_KERNEL(8, 2)
MICRO_KERNEL(8, 1)
MICRO_KERNEL(16, 1)
#define TALL_ROWS(VECTORS)                                                                                             \
  if (VECTORS == 1 && rows_apart == 1)                                                                                 \
    for (; rows - r >= 16; r += 16) ROWS_OF(16, 1);                                                                    \
  if (rows_apart == 1 || steps <= 32)                                                                                  \
    for (; rows - r >= 12 || rows - r == 8; r += 8) ROWS_OF(8, VECTORS);
#else
#define TALL_ROWS(VECTORS)
#endif

#define ROWS_OF(ROWS, VECTORS)                                                                                         \
  NAME(product_##ROWS##x##VECTORS)(                                                                                    \
      a + r * rows_apart, rows_apart, steps_apart, b, b_stride, c + r * c_stride, c_stride, steps, adds)

#define STRIP(VECTORS)                                                                                                 \
  {                                                                                                                    \
    long r = 0;                                                                                                        \
    TALL_ROWS(VECTORS)                                                                                                 \
    for (; rows - r > 8 || rows - r == 6; r += 6) ROWS_OF(6, VECTORS);                                                 \
    if (rows - r > 6) {                                                                                                \
      ROWS_OF(4, VECTORS);                                                                                             \
      r += 4;                                                                                                          \
    }                                                                                                                  \
    switch (rows - r) {                                                                                                \
      case 5: ROWS_OF(5, VECTORS); break;                                                                              \
      case 4: ROWS_OF(4, VECTORS); break;                                                                              \
      case 3: ROWS_OF(3, VECTORS); break;                                                                              \
      case 2: ROWS_OF(2, VECTORS); break;                                                                              \
      case 1: ROWS_OF(1, VECTORS); break;                                                                              \
    }                                                                                                                  \
  }

FUNCTION void NAME(multiply)(
    const float *a, long rows_apart, long steps_apart, const float *b, long b_strips_apart, long b_stride, float *c,
    long c_strips_apart, long c_stride, long rows, long columns, long steps, int adds) {
  for (long column = 0; column < columns; column += 2 * LANES, b += b_strips_apart, c += c_strips_apart) {
    if (column + 2 * LANES <= columns) STRIP(2) else STRIP(1)
  }
}

// In passes: a strip of B stays in the first-level cache while the rows go by.
FUNCTION void NAME(multiply_all)(
    const matrix *a, const matrix *b, const matrix *c, long rows, long columns, long steps, int adds) {
  const long pass = MATRIX_PASS, whole = columns / (2 * LANES) * 2 * LANES, strips = whole / (2 * LANES);
  for (long p = 0; p < steps || p == 0; p += pass) {
    const float *const from = a->start + p * a->columns_apart;
    const long count = min(pass, steps - p);
    NAME(multiply)(
        from, a->rows_apart, a->columns_apart, b->start + p * b->rows_apart, b->strips_apart, b->rows_apart, c->start,
        c->strips_apart, c->rows_apart, rows, whole, count, adds || p > 0);
    if (whole < columns)
      NAME(multiply)(
          from, a->rows_apart, a->columns_apart, b->start + strips * b->strips_apart + p * b->last_rows_apart, 0,
          b->last_rows_apart, c->start + strips * c->strips_apart, 0, c->last_rows_apart, rows, columns - whole, count,
          adds || p > 0);
  }
}

FUNCTION float NAME(multiply_adds)(long count) {
  VEC sum[12];
  float factor = 0;
  UNROLL for (int i = 0; i < 12; i++) sum[i] = (VEC){0} + (float)i;
  for (long n = 0; n < count; n++) {
    __asm__("" : "+m"(factor));
    const VEC x = (VEC){0} + factor;
    UNROLL for (int i = 0; i < 12; i++) sum[i] += x * x;
  }
  UNROLL for (int i = 1; i < 12; i++) sum[0] += sum[i];
  return sum[0][0];
}

#undef STRIP
#undef TALL_ROWS
#undef ROWS_OF
#undef MICRO_KERNEL
