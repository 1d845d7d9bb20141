// Matrix products: C = A B, or C += A B, where A's element (r, p) is a[r * rows_apart + p * steps_apart],
// and B's and C's columns lie in strips.

// Some rows and vectors of C, in registers. Eight chains of additions are the fewest that hide an addition's latency.
// Lets what is read next come into the second-level cache, a vector per step, unless that is null.
INLINE void NAME(product)(
    int rows, int vectors, const float *a, long rows_apart, long steps_apart, const float *b, long b_stride, float *c,
    long c_stride, long steps, int adds, const float *next) {
  VEC sum[16][4];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = (VEC){0};
  // Sums of weights' gradients, many and used seldom, have left the nearest cache.
  if (adds && rows_apart == 1)
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        __builtin_prefetch(c + r * c_stride + v * LANES);
  for (long p = 0; p < steps; p++) {
    VEC row[4];
    if (next) __builtin_prefetch(next + p * LANES, 0, 2);
    UNROLL for (int v = 0; v < vectors; v++) row[v] = LOAD(b + p * b_stride + v * LANES);
    UNROLL for (int r = 0; r < rows; r++) {
      const float x = a[r * rows_apart + p * steps_apart];
      UNROLL for (int v = 0; v < vectors; v++) sum[r][v] += x * row[v];
    }
  }
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) {
    float *const to = c + r * c_stride + v * LANES;
    STORE(to, adds ? LOAD(to) + sum[r][v] : sum[r][v]);
  }
}

// A strip of C. Six rows of two vectors fit into AVX2's 16 registers, of four into AVX-512's 32, which load the least: 10
// vectors for 24 products. 7 and 8 rows are better cut in halves.
INLINE void NAME(multiply_strip)(
    int vectors, const float *a, long rows_apart, long steps_apart, const float *b, long b_stride, float *c,
    long c_stride, long rows, long steps, int adds, int reads_ahead, stretch ahead) {
#define ROWS(COUNT)                                                                                                    \
  {                                                                                                                    \
    const long bytes = steps * sizeof(VEC);                                                                            \
    const int reads = reads_ahead && ahead.end - ahead.next >= bytes;                                                  \
    NAME(product)(                                                                                                     \
        COUNT, vectors, a + r * rows_apart, rows_apart, steps_apart, b, b_stride, c + r * c_stride, c_stride, steps,   \
        adds, reads ? (const float *)ahead.next : 0);                                                                  \
    if (reads) ahead.next += bytes;                                                                                    \
  }
  long r = 0;
  // Narrow strips may be taller, and begin and end less often. Measured: not worth it for long products whose rows lie apart.
  if (LANES == 16 && vectors == 1 && rows_apart == 1)
    for (; rows - r >= 16; r += 16) ROWS(16)
  if (LANES == 16 && vectors <= 2 && (rows_apart == 1 || steps <= 32))
    for (; rows - r >= 12 || rows - r == 8; r += 8) ROWS(8)
  for (; rows - r > 8 || rows - r == 6; r += 6) ROWS(6)
  if (rows - r > 6) {
    ROWS(4)
    r += 4;
  }
  switch (rows - r) {
    case 5: ROWS(5) break;
    case 4: ROWS(4) break;
    case 3: ROWS(3) break;
    case 2: ROWS(2) break;
    case 1: ROWS(1) break;
  }
#undef ROWS
}

// In strips of `width` columns. While the rows go by a strip, the next one comes into the cache, and after the last one
// `ahead`; nothing does unless it reads ahead.
INLINE void NAME(multiply_strips)(
    const float *a, long rows_apart, long steps_apart, long width, const float *b, long b_strips_apart, long b_stride,
    float *c, long c_strips_apart, long c_stride, long rows, long columns, long steps, int adds, int reads_ahead,
    stretch ahead) {
  for (long column = 0; column < columns; column += width, b += b_strips_apart, c += c_strips_apart) {
    const long left = columns - column - width;
    const stretch next = left > 0 ? stretch_of(b + b_strips_apart, steps * min(width, left)) : ahead;
    switch (min(width, columns - column) / LANES) {
#define VECTORS(COUNT)                                                                                                 \
  case COUNT:                                                                                                          \
    NAME(multiply_strip)(                                                                                              \
        COUNT, a, rows_apart, steps_apart, b, b_stride, c, c_stride, rows, steps, adds, reads_ahead, next);            \
    break;
#if LANES == 16
      VECTORS(4)
      VECTORS(3)
#endif
      VECTORS(2)
      VECTORS(1)
#undef VECTORS
    }
  }
}

// B is in a cache.
FUNCTION void NAME(multiply)(
    const float *a, long rows_apart, long steps_apart, long width, const float *b, long b_strips_apart, long b_stride,
    float *c, long c_strips_apart, long c_stride, long rows, long columns, long steps, int adds) {
  NAME(multiply_strips)(
      a, rows_apart, steps_apart, width, b, b_strips_apart, b_stride, c, c_strips_apart, c_stride, rows, columns, steps,
      adds, 0, (stretch){0});
}

// In passes: a strip of B stays in the nearest caches while the rows go by. Nothing comes in behind the last one: another core
// may be writing there, and writes to lines that two have read are slow.
INLINE void NAME(multiply_passes)(
    const matrix *a, const matrix *b, const matrix *c, long rows, long columns, long steps, int adds, int reads_ahead) {
  const long pass = MATRIX_PASS, width = matrix_strip(LANES), strips = columns / width, whole = strips * width;
  for (long p = 0; p < steps || p == 0; p += pass) {
    const float *const from = a->start + p * a->columns_apart, *const to = b->start + p * b->rows_apart;
    const float *const last = b->start + strips * b->strips_apart + p * b->last_rows_apart;
    const long count = min(pass, steps - p), left = min(pass, steps - p - count);
    const stretch narrow = stretch_of(last, count * (columns - whole));
    const stretch next = whole > 0 ? stretch_of(to + pass * b->rows_apart, left * width)
                                   : stretch_of(last + pass * b->last_rows_apart, left * columns);
    NAME(multiply_strips)(
        from, a->rows_apart, a->columns_apart, width, to, b->strips_apart, b->rows_apart, c->start, c->strips_apart,
        c->rows_apart, rows, whole, count, adds || p > 0, reads_ahead, whole < columns ? narrow : next);
    if (whole < columns)
      NAME(multiply_strips)(
          from, a->rows_apart, a->columns_apart, width, last, 0, b->last_rows_apart,
          c->start + strips * c->strips_apart, 0, c->last_rows_apart, rows, columns - whole, count, adds || p > 0,
          reads_ahead, next);
  }
}

FUNCTION void NAME(multiply_all)(
    const matrix *a, const matrix *b, const matrix *c, long rows, long columns, long steps, int adds) {
  // What makes weights' gradients has just been written; weights are far away, most of all those that another core updates.
  if (a->rows_apart == 1) NAME(multiply_passes)(a, b, c, rows, columns, steps, adds, 0);
  else NAME(multiply_passes)(a, b, c, rows, columns, steps, adds, 1);
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
