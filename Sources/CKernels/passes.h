// The passes: tiles in blocks that stay in cache, input channels in chunks, output channels in panels.

// Some tiles' inputs, as [points, C / chunk, capacity, chunk].
INLINE void NAME(transform_inputs)(
    int side, const winograd_shape *s, const grid *g, long first, long tiles, const float *x, float *v, int chunk,
    long capacity, long apart) {
  const int margin = margin_of(side, s);
  for (long t = 0; t < tiles; t++) {
    const place p = place_of(g, first + t);
    for (int c = 0; c < s->inputs; c += LANES)
      NAME(input_patch)(
          side, x + ((long)p.sample * s->inputs + c) * s->height * s->width, s->height, s->width, p.row - margin,
          p.column - margin, v + c / chunk * chunk * capacity + t * chunk + c % chunk, apart, 0);
  }
}

// Lets some tiles' pixels come into the second-level cache while products keep the processor busy.
INLINE void NAME(prefetch_tiles)(
    int side, const grid *g, long first, long end, const float *image, int channels, int height, int width) {
  const int tile = outputs_of(side);
  for (long t = first; t < min(end, g->tiles); t++) {
    const place p = place_of(g, t);
    for (int c = 0; c < channels; c += LANES) {
      const float *row = image + ((long)p.sample * channels + c) * height * width;
      row += ((long)p.row * width + p.column) * LANES;
      UNROLL for (int i = 0; i < tile; i++, row += (long)width * LANES)
        UNROLL for (int j = 0; j < tile; j++) __builtin_prefetch(row + j * LANES, 0, 2);
    }
  }
}

INLINE void NAME(forward_tiles)(
    int side, const winograd_shape *s, const float *x, const float *weight, int transposed, const float *bias,
    float *y, int samples, float *scratch, stretch *ahead) {
  const int points = side * side, inputs = s->inputs, outputs = s->outputs;
  const grid g = grid_of(s, samples);
  const blocking k = blocking_of(s, g.tiles);
  float *const v = scratch, *const m = v + points * k.input_apart, *const u = m + points * k.output_apart;
  for (long first = 0; first < g.tiles; first += k.tiles) {
    const long tiles = min(k.tiles, g.tiles - first);
    NAME(transform_inputs)(side, s, &g, first, tiles, x, v, k.chunk, k.tiles, k.input_apart);
    float *chunk = u;
    for (int o = 0; o < outputs; o += k.panel) {
      const int panel = (int)min(k.panel, outputs - o);
      for (int c = 0; c < inputs; c += k.chunk) {
        const int count = (int)min(k.chunk, inputs - c);
        if (first == 0) {
          for (int i = 0; i < count; i++)
            for (int j = 0; j < panel; j += LANES) {
              const long in = (c + i) / LANES, out = (o + j) / LANES;
              const long block = transposed ? in * (outputs / LANES) + out : out * (inputs / LANES) + in;
              NAME(weight_patch)(
                  side, weight + (block * 9 * LANES + i % LANES) * LANES, transposed,
                  chunk + j / (2 * LANES) * 2 * LANES * count + i * 2 * LANES + j % (2 * LANES), k.weight_apart);
            }
        }
        for (int i = 0; i < points; i++) {
          // Outputs have long left the cache; a gradient's place, the slice's own, has not.
          if (o == 0 && c == 0 && !transposed)
            NAME(prefetch_tiles)(
                side, &g, first + tiles * i / points, first + tiles * (i + 1) / points, y, outputs, s->output_height,
                s->output_width);
          // Measured. On the way forward outputs are prefetched too.
          ahead = read_ahead(ahead, transposed ? 20 : 10);
          NAME(multiply)(
              v + i * k.input_apart + c * k.tiles, k.chunk, 1, chunk + i * k.weight_apart, count * 2 * LANES,
              2 * LANES, m + i * k.output_apart, 2 * LANES, k.panel, tiles, panel, count, c > 0);
        }
        // With one block of tiles a chunk is used once, and the next one can take its place in the cache.
        if (k.tiles < g.tiles) chunk += points * k.weight_apart;
      }
      for (long t = 0; t < tiles; t++) {
        const place p = place_of(&g, first + t);
        for (int j = 0; j < panel; j += LANES)
          NAME(output_patch)(
              side, m + t * k.panel + j, k.output_apart, bias ? bias + o + j : 0,
              y + ((long)p.sample * outputs + o + j) * s->output_height * s->output_width, s->output_height,
              s->output_width, p.row, p.column);
      }
    }
  }
}

INLINE void NAME(backward_weights_tiles)(
    int side, const winograd_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds,
    int samples, float *scratch) {
  const int points = side * side, inputs = s->inputs, outputs = s->outputs;
  const grid g = grid_of(s, samples);
  const gradient_blocking k = gradient_blocking_of(s, g.tiles);
  float *const v = scratch, *const w = v + points * k.input_apart, *const u = w + points * k.output_apart;
  float *const bias_sum = u + points * k.weight_apart;
  for (int o = 0; o < outputs; o += LANES) STORE(bias_sum + o, (VEC){0});
  for (long first = 0; first < g.tiles; first += k.tiles) {
    const long tiles = min(k.tiles, g.tiles - first);
    NAME(transform_inputs)(side, s, &g, first, tiles, x, v, k.chunk, k.tiles, k.input_apart);
    for (long t = 0; t < tiles; t++) {
      const place p = place_of(&g, first + t);
      for (int o = 0; o < outputs; o += LANES) {
        VEC sum = {0};
        NAME(gradient_patch)(
            side, dy + ((long)p.sample * outputs + o) * s->output_height * s->output_width, s->output_height,
            s->output_width, p.row, p.column, w + o / k.panel * k.panel * k.tiles + t * k.panel + o % k.panel,
            k.output_apart, d_bias ? &sum : 0);
        STORE(bias_sum + o, LOAD(bias_sum + o) + sum);
      }
    }
    for (int o = 0; o < outputs; o += k.panel) {
      const int panel = (int)min(k.panel, outputs - o);
      for (int c = 0; c < inputs; c += k.chunk) {
        const int count = (int)min(k.chunk, inputs - c);
        // Inputs may be read for the first time since the forward pass.
        const long next = first + k.tiles;
        for (int i = 0; i < points; i++) {
          NAME(prefetch_tiles)(
              side, &g, next + k.tiles * i / points, next + k.tiles * (i + 1) / points, x, inputs, s->height, s->width);
          NAME(multiply)(
              v + i * k.input_apart + c * k.tiles, 1, k.chunk, w + i * k.output_apart + o * k.tiles, 2 * LANES, k.panel,
              u + i * k.weight_apart, 2 * LANES, k.panel, count, panel, tiles, first > 0);
        }
        if (first + tiles < g.tiles) continue;
        for (int j = 0; j < panel; j += LANES)
          for (int r = 0; r < count; r++) {
            const long block = (long)((o + j) / LANES) * (inputs / LANES) + (c + r) / LANES;
            NAME(weight_gradient_patch)(
                side, u + (long)r * k.panel + j, k.weight_apart,
                d_weight + (block * 9 * LANES + (c + r) % LANES) * LANES, adds);
          }
      }
    }
  }
  if (d_bias)
    for (int o = 0; o < outputs; o += LANES)
      STORE(d_bias + o, adds ? LOAD(d_bias + o) + LOAD(bias_sum + o) : LOAD(bias_sum + o));
}

// The number of points must be known where the transforms are inlined.
#define BY_POINTS(FUNCTION, ...)                                                                                       \
  switch (points_per_side(s)) {                                                                                        \
    case 6: NAME(FUNCTION)(6, __VA_ARGS__); break;                                                                     \
    case 4: NAME(FUNCTION)(4, __VA_ARGS__); break;                                                                     \
    case 3: NAME(FUNCTION)(3, __VA_ARGS__); break;                                                                     \
    case 1: NAME(FUNCTION)(1, __VA_ARGS__); break;                                                                     \
  }

FUNCTION void NAME(forward)(
    const winograd_shape *s, const float *x, const float *weight, int transposed, const float *bias, float *y,
    int samples, float *scratch, stretch *ahead) {
  BY_POINTS(forward_tiles, s, x, weight, transposed, bias, y, samples, scratch, ahead)
}

FUNCTION void NAME(backward_weights)(
    const winograd_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds, int samples,
    float *scratch) {
  BY_POINTS(backward_weights_tiles, s, x, dy, d_weight, d_bias, adds, samples, scratch)
}

#undef BY_POINTS
