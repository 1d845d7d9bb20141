// Between images and tiles: one tile, one block of channels.

// Transforms a square of an image, zeros where it hangs over, and writes its points `apart` Floats from each other. With
// a sum, adds the square's elements to it.
#define PATCH(NAME_OF_PATCH, TRANSFORM, SIDE)                                                                          \
  INLINE void NAME(NAME_OF_PATCH)(                                                                                     \
      int count, const float *image, int height, int width, int y0, int x0, float *points, long apart, VEC *sum) {     \
    const int side = SIDE(count);                                                                                      \
    const int is_inside = y0 >= 0 && x0 >= 0 && y0 + side <= height && x0 + side <= width;                             \
    const float *row = image + ((long)y0 * width + x0) * LANES;                                                        \
    const VEC zero = {0};                                                                                              \
    VEC half[6][6];                                                                                                    \
    OPAQUE(row);                                                                                                       \
    OPAQUE(points);                                                                                                    \
    UNROLL for (int i = 0; i < side; i++, row += (long)width * LANES) {                                                \
      VEC d[6];                                                                                                        \
      if (is_inside) {                                                                                                 \
        UNROLL for (int j = 0; j < side; j++) d[j] = LOAD(row + j * LANES);                                            \
      } else if (y0 + i < 0 || y0 + i >= height) {                                                                     \
        UNROLL for (int j = 0; j < count; j++) half[i][j] = zero;                                                      \
        continue;                                                                                                      \
      } else {                                                                                                         \
        UNROLL for (int j = 0; j < side; j++) d[j] = x0 + j >= 0 && x0 + j < width ? LOAD(row + j * LANES) : zero;     \
      }                                                                                                                \
      if (sum) UNROLL for (int j = 0; j < side; j++) *sum += d[j];                                                     \
      TRANSFORM(count, d, half[i]);                                                                                    \
    }                                                                                                                  \
    UNROLL for (int j = 0; j < count; j++) {                                                                           \
      VEC d[6], t[6];                                                                                                  \
      UNROLL for (int i = 0; i < side; i++) d[i] = half[i][j];                                                         \
      TRANSFORM(count, d, t);                                                                                          \
      UNROLL for (int i = 0; i < count; i++, points += apart) STORE(points, t[i]);                                     \
    }                                                                                                                  \
  }

PATCH(input_patch, NAME(transform_input), inputs_of)
PATCH(gradient_patch, NAME(transform_gradient), outputs_of)
#undef PATCH

// Transforms a tile's points to outputs, adds the bias unless it is null, and writes those that the image has room for.
INLINE void NAME(output_patch)(
    int count, const float *points, long apart, const float *bias, float *image, int height, int width, int y0,
    int x0) {
  const int tile = outputs_of(count);
  const int is_inside = y0 + tile <= height && x0 + tile <= width;
  float *row = image + ((long)y0 * width + x0) * LANES;
  const VEC shift = bias ? LOAD(bias) : (VEC){0};
  VEC half[4][6];
  OPAQUE(row);
  OPAQUE(points);
  UNROLL for (int j = 0; j < count; j++) {
    VEC d[6], t[4];
    UNROLL for (int i = 0; i < count; i++, points += apart) d[i] = LOAD(points);
    NAME(transform_output)(count, d, t);
    UNROLL for (int i = 0; i < tile; i++) half[i][j] = t[i];
  }
  UNROLL for (int i = 0; i < tile; i++, row += (long)width * LANES) {
    VEC t[4];
    NAME(transform_output)(count, half[i], t);
    if (is_inside) {
      UNROLL for (int j = 0; j < tile; j++) STORE(row + j * LANES, t[j] + shift);
    } else if (y0 + i < height) {
      UNROLL for (int j = 0; j < tile; j++) if (x0 + j < width) STORE(row + j * LANES, t[j] + shift);
    }
  }
}

// Transforms a 3x3 weight, mirrored if asked for, of one input channel and a block of output channels.
INLINE void NAME(weight_patch)(int count, const float *weight, int mirrored, float *points, long apart) {
  VEC half[3][6];
  OPAQUE(points);
  UNROLL for (int i = 0; i < 3; i++) {
    VEC d[3];
    UNROLL for (int j = 0; j < 3; j++)
        d[j] = LOAD(weight + (mirrored ? 8 - (i * 3 + j) : i * 3 + j) * LANES * LANES);
    NAME(transform_weight)(count, d, half[i]);
  }
  UNROLL for (int j = 0; j < count; j++) {
    VEC d[3], t[6];
    UNROLL for (int i = 0; i < 3; i++) d[i] = half[i][j];
    NAME(transform_weight)(count, d, t);
    UNROLL for (int i = 0; i < count; i++, points += apart) STORE(points, t[i]);
  }
}

// The way back: the gradient of such a weight.
INLINE void NAME(weight_gradient_patch)(int count, const float *points, long apart, float *d_weight, int adds) {
  VEC half[3][6];
  OPAQUE(points);
  UNROLL for (int j = 0; j < count; j++) {
    VEC d[6], t[3];
    UNROLL for (int i = 0; i < count; i++, points += apart) d[i] = LOAD(points);
    NAME(transform_weight_gradient)(count, d, t);
    UNROLL for (int i = 0; i < 3; i++) half[i][j] = t[i];
  }
  UNROLL for (int i = 0; i < 3; i++) {
    VEC t[3];
    NAME(transform_weight_gradient)(count, half[i], t);
    UNROLL for (int j = 0; j < 3; j++) {
      float *const to = d_weight + (i * 3 + j) * LANES * LANES;
      STORE(to, adds ? LOAD(to) + t[j] : t[j]);
    }
  }
}
