// Between images and tiles: one tile, one block of channels.

// Transforms a rectangle of an image, zeros where it hangs over, and writes its points `apart` Floats from each other,
// column by column of `points_per_column`. With a sum, adds the rectangle's elements to it.
#define PATCH(NAME_OF_PATCH, TRANSFORM, SIDE)                                                                          \
  INLINE void NAME(NAME_OF_PATCH)(                                                                                     \
      scheme vertical, scheme horizontal, int points_per_column, const float *image, int height, int width, int y0,    \
      int x0, float *points, long apart, VEC *sum) {                                                                   \
    const int rows = facts_of[vertical].SIDE, columns = facts_of[horizontal].SIDE;                                     \
    const int row_points = facts_of[vertical].points, column_points = facts_of[horizontal].points;                     \
    const int is_inside = y0 >= 0 && x0 >= 0 && y0 + rows <= height && x0 + columns <= width;                          \
    const float *row = image + ((long)y0 * width + x0) * LANES;                                                        \
    const VEC zero = {0};                                                                                              \
    VEC half[MOST_POINTS][MOST_POINTS];                                                                                \
    OPAQUE(row);                                                                                                       \
    OPAQUE(points);                                                                                                    \
    UNROLL for (int i = 0; i < rows; i++, row += (long)width * LANES) {                                                \
      VEC d[MOST_POINTS];                                                                                              \
      if (is_inside) {                                                                                                 \
        UNROLL for (int j = 0; j < columns; j++) d[j] = LOAD(row + j * LANES);                                         \
      } else if (y0 + i < 0 || y0 + i >= height) {                                                                     \
        UNROLL for (int j = 0; j < column_points; j++) half[i][j] = zero;                                              \
        continue;                                                                                                      \
      } else {                                                                                                         \
        UNROLL for (int j = 0; j < columns; j++) d[j] = x0 + j >= 0 && x0 + j < width ? LOAD(row + j * LANES) : zero;  \
      }                                                                                                                \
      if (sum) UNROLL for (int j = 0; j < columns; j++) *sum += d[j];                                                  \
      TRANSFORM(horizontal, d, half[i]);                                                                               \
    }                                                                                                                  \
    UNROLL for (int j = 0; j < column_points; j++, points += points_per_column * apart) {                              \
      VEC d[MOST_POINTS], t[MOST_POINTS];                                                                              \
      UNROLL for (int i = 0; i < rows; i++) d[i] = half[i][j];                                                         \
      TRANSFORM(vertical, d, t);                                                                                       \
      UNROLL for (int i = 0; i < row_points; i++) STORE(points + i * apart, t[i]);                                     \
    }                                                                                                                  \
  }

PATCH(input_patch, NAME(transform_input), inputs)
PATCH(gradient_patch, NAME(transform_gradient), places)
#undef PATCH

// Transforms a tile's points to outputs, adds the bias unless it is null, and writes those that the image has room for.
INLINE void NAME(output_patch)(
    scheme vertical, scheme horizontal, int points_per_column, const float *points, long apart, const float *bias,
    float *image, int height, int width, int y0, int x0) {
  const int rows = facts_of[vertical].outputs, columns = facts_of[horizontal].outputs;
  const int row_points = facts_of[vertical].points, column_points = facts_of[horizontal].points;
  const int is_inside = y0 + rows <= height && x0 + columns <= width;
  float *row = image + ((long)y0 * width + x0) * LANES;
  const VEC shift = bias ? LOAD(bias) : (VEC){0};
  VEC half[MOST_OUTPUTS][MOST_POINTS];
  OPAQUE(row);
  OPAQUE(points);
  UNROLL for (int j = 0; j < column_points; j++, points += points_per_column * apart) {
    VEC d[MOST_POINTS], t[MOST_OUTPUTS];
    UNROLL for (int i = 0; i < row_points; i++) d[i] = LOAD(points + i * apart);
    NAME(transform_output)(vertical, d, t);
    UNROLL for (int i = 0; i < rows; i++) half[i][j] = t[i];
  }
  UNROLL for (int i = 0; i < rows; i++, row += (long)width * LANES) {
    VEC t[MOST_OUTPUTS];
    NAME(transform_output)(horizontal, half[i], t);
    if (is_inside) {
      UNROLL for (int j = 0; j < columns; j++) STORE(row + j * LANES, t[j] + shift);
    } else if (y0 + i < height) {
      UNROLL for (int j = 0; j < columns; j++) if (x0 + j < width) STORE(row + j * LANES, t[j] + shift);
    }
  }
}

// The schemes must be known where a patch is inlined; a tile's kind says which of its sides are short.
#define BY_KIND(PATCH, s, kind, ...)                                                                                   \
  if (shorter(s) == s || kind == WHOLE)                                                                                \
    PATCH(s, s, facts_of[s].points, __VA_ARGS__);                                                                      \
  else if (kind == NARROW)                                                                                             \
    PATCH(s, shorter(s), facts_of[s].points, __VA_ARGS__);                                                             \
  else if (kind == LOW)                                                                                                \
    PATCH(shorter(s), s, facts_of[s].points, __VA_ARGS__);                                                             \
  else                                                                                                                 \
    PATCH(shorter(s), shorter(s), facts_of[s].points, __VA_ARGS__);

// Transforms a weight, mirrored if asked for, of one input channel and a block of output channels.
INLINE void NAME(weight_patch)(scheme s, const float *weight, int mirrored, float *points, long apart) {
  const int taps = facts_of[s].taps, count = facts_of[s].weights;
  VEC half[MOST_TAPS][6];
  OPAQUE(points);
  UNROLL for (int i = 0; i < taps; i++) {
    VEC d[MOST_TAPS];
    UNROLL for (int j = 0; j < taps; j++)
        d[j] = LOAD(weight + (mirrored ? taps * taps - 1 - (i * taps + j) : i * taps + j) * LANES * LANES);
    NAME(transform_weight)(s, d, half[i]);
  }
  UNROLL for (int j = 0; j < count; j++) {
    VEC d[MOST_TAPS], t[6];
    UNROLL for (int i = 0; i < taps; i++) d[i] = half[i][j];
    NAME(transform_weight)(s, d, t);
    UNROLL for (int i = 0; i < count; i++, points += apart) STORE(points, t[i]);
  }
}

// The way back: the gradient of such a weight. It is added to the last of so many sums, that to the one before it, and
// so on to the first, where it is put.
INLINE void NAME(weight_gradient_patch)(scheme s, const float *points, long apart, float *const *sums, int addends) {
  const int taps = facts_of[s].taps, count = facts_of[s].weights;
  VEC half[MOST_TAPS][6];
  OPAQUE(points);
  UNROLL for (int j = 0; j < count; j++) {
    VEC d[6], t[MOST_TAPS];
    UNROLL for (int i = 0; i < count; i++, points += apart) d[i] = LOAD(points);
    NAME(transform_weight_gradient)(s, d, t);
    UNROLL for (int i = 0; i < taps; i++) half[i][j] = t[i];
  }
  UNROLL for (int i = 0; i < taps; i++) {
    VEC t[MOST_TAPS];
    NAME(transform_weight_gradient)(s, half[i], t);
    UNROLL for (int j = 0; j < taps; j++) {
      const long tap = (i * taps + j) * LANES * LANES;
      VEC sum = t[j];
      UNROLL for (int n = MOST_SUMS - 1; n >= 0; n--) if (n < addends) sum = LOAD(sums[n] + tap) + sum;
      STORE(sums[0] + tap, sum);
    }
  }
}
