// Max pooling, a block of channels at a time.

FUNCTION void NAME(pool_forward)(const pooling_shape *s, const float *x, float *y, int samples) {
  for (long plane = 0; plane < (long)samples * s->channels / LANES; plane++, x += (long)s->height * s->width * LANES)
    for (int i = 0; i < s->output_height; i++)
      for (int j = 0; j < s->output_width; j++, y += LANES) {
        WINDOW(i, j);
        VEC largest = LOAD(x + ((long)top * s->width + left) * LANES);
        for (int r = top; r < bottom; r++)
          for (int c = left; c < right; c++) {
            const VEC v = LOAD(x + ((long)r * s->width + c) * LANES);
            // NaN wins, and stays.
            largest = SELECT((v > largest) | (v != v), v, largest);
          }
        STORE(y, largest);
      }
}

FUNCTION void NAME(pool_backward)(
    const pooling_shape *s, const float *x, const float *y, const float *dy, float *dx, int samples) {
  const long image = (long)s->height * s->width * LANES;
  for (long plane = 0; plane < (long)samples * s->channels / LANES; plane++, x += image, dx += image) {
    long cleared = 0;
    for (int i = 0; i < s->output_height; i++) {
      // Just before they are added to, while they are in the cache.
      const int last = i + 1 == s->output_height, bottom = i * s->stride - s->padding + s->kernel_height;
      const long rows = last ? s->height : min(s->height, bottom);
      for (; cleared < rows * s->width * LANES; cleared += LANES) STORE(dx + cleared, (VEC){0});
      for (int j = 0; j < s->output_width; j++, y += LANES, dy += LANES) {
        WINDOW(i, j);
        const VEC largest = LOAD(y);
        VEC rest = LOAD(dy);
        for (int r = top; r < bottom; r++)
          for (int c = left; c < right; c++) {
            const long p = ((long)r * s->width + c) * LANES;
            const VEC zero = {0};
            const MASK is_largest = LOAD(x + p) == largest;
            STORE(dx + p, LOAD(dx + p) + SELECT(is_largest, rest, zero));
            rest = SELECT(is_largest, zero, rest);
          }
      }
    }
  }
}
