// Rows become columns.

// A square, of whose rows some may be missing: zeros in their place. Each turn of the loop shuffles two halves of the
// rows into each other, which moves the number of a row, and then of its element, by one bit to the left.
INLINE void NAME(transpose)(const float *rows, long rows_apart, long count, float *columns, long columns_apart) {
  VEC from[LANES], to[LANES];
  UNROLL for (int i = 0; i < LANES; i++) from[i] = i < count ? LOAD(rows + i * rows_apart) : (VEC){0};
  UNROLL for (int bit = 1; bit < LANES; bit *= 2) {
    UNROLL for (int i = 0; i < LANES / 2; i++) {
      to[2 * i] = SHUFFLE_LOW(from[i], from[i + LANES / 2]);
      to[2 * i + 1] = SHUFFLE_HIGH(from[i], from[i + LANES / 2]);
    }
    UNROLL for (int i = 0; i < LANES; i++) from[i] = to[i];
  }
  UNROLL for (int i = 0; i < LANES; i++) STORE(columns + i * columns_apart, from[i]);
}

// Where a matrix of so many columns holds an element, and the one below it, `apart` from there.
INLINE float *NAME(element)(const matrix *m, long columns, long row, long column, long *apart) {
  const long width = matrix_strip(LANES), strip = column / width;
  *apart = (strip + 1) * width > columns ? m->last_rows_apart : m->rows_apart;
  return m->start + strip * m->strips_apart + row * *apart + column % width;
}

FUNCTION void NAME(transpose_some)(
    const matrix *from, const matrix *to, long rows, long columns, long first, long end) {
  const long padded = (rows + LANES - 1) / LANES * LANES;
  for (long column = 0; column < columns; column += LANES)
    for (long row = first; row < end; row += LANES) {
      long rows_apart, columns_apart;
      const float *const square = NAME(element)(from, columns, row, column, &rows_apart);
      float *const turned = NAME(element)(to, padded, column, row, &columns_apart);
      NAME(transpose)(square, rows_apart, min(LANES, rows - row), turned, columns_apart);
    }
}
