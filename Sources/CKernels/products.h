// Matrix products: C = A B, or C += A B. A's rows lie `apart`, a row's elements side by side; if it is transposed, its
// steps lie apart. B's and C's columns lie in strips.

// Some rows and vectors of C, in registers. Eight chains of additions are the fewest that hide an addition's latency.
// Lets what is read next come into the second-level cache, a vector per step, unless that is null.
//
// Threads on one core share the instructions it takes in per cycle. Two steps at a time, with an address for every
// three rows, need 23 of them for 12 of AVX2's multiplications; one step at a time needed 28 to 33, and beside a busy
// neighbor up to a fifth more time.
INLINE void NAME(product)(
    int rows, int vectors, int is_transposed, const float *a, long apart, const float *b, long b_stride, float *c,
    long c_stride, long steps, int adds, const float *next) {
  VEC sum[16][4];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = (VEC){0};
  // Sums of weights' gradients, many and used seldom, have left the nearest cache.
  if (adds && is_transposed)
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
        __builtin_prefetch(c + r * c_stride + v * LANES);
  const float *threes[6];
  UNROLL for (int r = 0; r < rows; r += 3) {
    threes[r / 3] = a + r * (is_transposed ? 1 : apart);
    if (!is_transposed) OPAQUE(threes[r / 3]);
  }
#define STEP(NUMBER)                                                                                                   \
  {                                                                                                                    \
    VEC row[4];                                                                                                        \
    UNROLL for (int v = 0; v < vectors; v++) row[v] = LOAD(b + NUMBER * b_stride + v * LANES);                         \
    UNROLL for (int r = 0; r < rows; r++) {                                                                            \
      const float x = threes[r / 3][is_transposed ? NUMBER * apart + r % 3 : r % 3 * apart + NUMBER];                  \
      UNROLL for (int v = 0; v < vectors; v++) sum[r][v] += x * row[v];                                                \
    }                                                                                                                  \
  }
  for (long pairs = steps / 2; pairs > 0; pairs--) {
    if (next) {
      UNROLL for (int i = 0; i < 2 * LANES; i += 16) __builtin_prefetch(next + i, 0, 2);
      next += 2 * LANES;
    }
    STEP(0)
    STEP(1)
    b += 2 * b_stride;
    UNROLL for (int r = 0; r < rows; r += 3) threes[r / 3] += 2 * (is_transposed ? apart : 1);
  }
  if (steps % 2) STEP(0)
#undef STEP
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) {
    float *const to = c + r * c_stride + v * LANES;
    STORE(to, adds ? LOAD(to) + sum[r][v] : sum[r][v]);
  }
}

// A strip of C. Six rows of two vectors fit into AVX2's 16 registers, of four into AVX-512's 32, which load the least:
// 10 vectors for 24 products. 7 and 8 rows are better cut in halves.
INLINE void NAME(multiply_strip)(
    int vectors, int is_transposed, const float *a, long apart, const float *b, long b_stride, float *c, long c_stride,
    long rows, long steps, int adds, int reads_ahead, stretch ahead) {
#define ROWS(COUNT)                                                                                                    \
  {                                                                                                                    \
    const long bytes = steps * sizeof(VEC);                                                                            \
    const int reads = reads_ahead && ahead.end - ahead.next >= bytes;                                                  \
    NAME(product)(                                                                                                     \
        COUNT, vectors, is_transposed, a + r * (is_transposed ? 1 : apart), apart, b, b_stride, c + r * c_stride,      \
        c_stride, steps, adds, reads ? (const float *)ahead.next : 0);                                                 \
    if (reads) ahead.next += bytes;                                                                                    \
  }
  long r = 0;
  // Narrow strips may be taller, and begin and end less often. Measured: not worth it for long products whose rows lie
  // apart.
  if (LANES == 16 && vectors == 1 && is_transposed)
    for (; rows - r >= 16; r += 16) ROWS(16)
  if (LANES == 16 && vectors <= 2 && (is_transposed || steps <= 32))
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

// Strip by strip. While the rows go by one, the next one comes into the cache, and after the last one `ahead`, if B is
// far away.
INLINE void NAME(multiply_strips)(
    factors kind, const float *a, long apart, strips b, strips c, long width, long rows, long columns, long steps,
    int adds, stretch ahead) {
  for (long column = 0; column < columns; column += width, b.start += b.apart, c.start += c.apart) {
    const long left = columns - column - width;
    const stretch next = left > 0 ? stretch_of(b.start + b.apart, steps * min(width, left)) : ahead;
    switch (min(width, columns - column) / LANES) {
#define VECTORS(COUNT)                                                                                                 \
  case COUNT:                                                                                                          \
    NAME(multiply_strip)(                                                                                              \
        COUNT, kind == TRANSPOSED, a, apart, b.start, b.rows_apart, c.start, c.rows_apart, rows, steps, adds,          \
        kind == FAR, next);                                                                                            \
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

// Strips are `width` columns wide; the last one may be narrower.
FUNCTION void NAME(multiply)(
    factors kind, const float *a, long apart, strips b, strips c, long width, long rows, long columns, long steps,
    int adds, stretch ahead) {
  switch (kind) {
#define FACTORS(KIND)                                                                                                  \
  case KIND: NAME(multiply_strips)(KIND, a, apart, b, c, width, rows, columns, steps, adds, ahead); break;
    FACTORS(NEAR)
    FACTORS(FAR)
    FACTORS(TRANSPOSED)
#undef FACTORS
  }
}

// A strip of B stays in the nearest caches while some rows go by, and those rows while all strips do, the narrow one
// last.
FUNCTION void NAME(multiply_all)(
    const matrix *a, const matrix *b, const matrix *c, long rows, long columns, long steps, int adds) {
  const factors kind = a->rows_apart == 1 ? TRANSPOSED : FAR;
  const long apart = kind == TRANSPOSED ? a->columns_apart : a->rows_apart;
  const long rows_at_once = kind == TRANSPOSED ? rows : matrix_rows_at_once(rows);
  const long pass = MATRIX_PASS, width = matrix_strip(LANES), count = columns / width, whole = count * width;
  for (long p = 0; p < steps || p == 0; p += pass) {
    const strips first = {b->start + p * b->rows_apart, b->strips_apart, b->rows_apart};
    const strips last = {b->start + count * b->strips_apart + p * b->last_rows_apart, 0, b->last_rows_apart};
    const long some_steps = min(pass, steps - p);
    for (long r = 0; r < rows; r += rows_at_once) {
      const long some = min(rows_at_once, rows - r);
      const float *const from = a->start + r * a->rows_apart + p * a->columns_apart;
      const strips sums = {c->start + r * c->rows_apart, c->strips_apart, c->rows_apart};
      const strips last_sums = {c->start + count * c->strips_apart + r * c->last_rows_apart, 0, c->last_rows_apart};
      // Other rows go by the same strips, or all by the next pass's. Nothing comes in behind the last one: another core
      // may be writing there, and writes to lines that two have read are slow.
      const long on = r + some < rows ? 0 : pass, coming = on > 0 ? min(pass, steps - p - some_steps) : some_steps;
      const stretch next = whole > 0 ? stretch_of(first.start + on * first.rows_apart, coming * width)
                                     : stretch_of(last.start + on * last.rows_apart, coming * columns);
      NAME(multiply)(
          kind, from, apart, first, sums, width, some, whole, some_steps, adds || p > 0,
          whole < columns ? stretch_of(last.start, some_steps * (columns - whole)) : next);
      NAME(multiply)(
          kind, from, apart, last, last_sums, width, some, columns - whole, some_steps, adds || p > 0, next);
    }
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
