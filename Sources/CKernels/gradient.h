// Weights' gradients: tiles in blocks that stay in cache, or those of several summands at once, whose gradients are
// added up before they leave it.

// Some tiles' gradients, as [points, K / panel, capacity, panel]; their sums go to bias_sum's, unless that is null.
INLINE void NAME(transform_gradients)(
    scheme scheme, const winograd_shape *s, const tile_list *list, const float *dy, float *w, int panel, long capacity,
    long apart, float *bias_sum) {
  for (long t = 0; t < list->count; t++) {
    const tile tile = list->tiles[t];
    for (int o = 0; o < s->outputs; o += LANES) {
      VEC sum = {0};
      BY_KIND(
          NAME(gradient_patch), scheme, tile.kind,
          dy + ((long)tile.sample * s->outputs + o) * s->output_height * s->output_width, s->output_height,
          s->output_width, tile.row, tile.column, w + o / panel * panel * capacity + t * panel + o % panel, apart,
          bias_sum ? &sum : 0)
      if (bias_sum) STORE(bias_sum + o, LOAD(bias_sum + o) + sum);
    }
  }
}

// The transformed gradients of a chunk's weights to a panel over some tiles, added to what is there if it `adds`. Lets
// the next tiles' inputs come into the cache: they may be read for the first time since the forward pass.
INLINE void NAME(multiply_points)(
    scheme scheme, const winograd_shape *s, const gradient_blocking *k, const tile_list *list, const float *v,
    float *w, float *u, int count, int panel, int adds, const grid *g, long next, const float *x) {
  const scheme_facts facts = facts_of[scheme];
  const int points = facts.points * facts.points, strip = strip_of(s);
  for (int i = 0; i < points; i++) {
    const tile_range tiles = tiles_with(list, scheme, i);
    NAME(prefetch_tiles)(
        facts.input_step, facts.places * facts.input_step, g, next + k->tiles * i / points,
        next + k->tiles * (i + 1) / points, x, padded_inputs(s), s->height, s->width);
    NAME(multiply)(
        TRANSPOSED, v + i * k->input_apart + tiles.first * k->chunk, k->chunk,
        (strips){w + i * k->output_apart + tiles.first * k->panel, strip, k->panel},
        (strips){u + weight_at(scheme, i) * k->weight_apart, strip, k->panel}, strip, count, panel, tiles.count,
        adds || repeats(scheme, i), (stretch){0});
  }
}

// Adds the gradients of a chunk's weights to a panel to the last of so many sums, that to the one before it, and so on
// to the first, where they are put.
INLINE void NAME(put_gradients)(
    scheme scheme, const gradient_blocking *k, const float *u, int count, int panel, const weight_blocks *sums,
    int addends) {
  const long row = (long)facts_of[scheme].taps * facts_of[scheme].taps * LANES;
  for (int j = 0; j < panel; j += LANES)
    for (int r = 0; r < count; r++) {
      float *places[MOST_SUMS];
      for (int n = 0; n < max(1, addends); n++)
        places[n] = sums[n].start + ((j / LANES * sums[n].apart + r / LANES) * row + r % LANES) * LANES;
      NAME(weight_gradient_patch)(scheme, u + (long)r * k->panel + j, k->weight_apart, places, addends);
    }
}

// Adds up rows, the first one to what is there if it `adds`.
INLINE void NAME(add_bias)(const summand *summands, int count, float *rows, int width, float *d_bias, int adds) {
  for (int o = 0; o < width; o += LANES) {
    VEC sums[MOST_SUMMANDS];
    int depth = 0;
    for (int n = 0; n < count; n++) {
      const VEC row = LOAD(rows + (long)n * width + o);
      sums[depth++] = adds && n == 0 ? LOAD(d_bias + o) + row : row;
      for (int m = 0; m < summands[n].merges; m++, depth--) sums[depth - 2] += sums[depth - 1];
    }
    STORE(d_bias + o, sums[0]);
  }
}

INLINE void NAME(backward_weights_tiles)(
    scheme scheme, const winograd_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds,
    const summand *summands, int count, float *scratch) {
  const scheme_facts facts = facts_of[scheme];
  const int points = facts.points * facts.points, taps = facts.taps * facts.taps;
  const int inputs = s->inputs, outputs = s->outputs, samples = samples_of(summands, count);
  const grid g = grid_of(s, samples);
  const long tiles_per_sample = g.tiles / samples;
  const gradient_blocking k = gradient_blocking_of(s, g.tiles, count);
  float *const v = scratch, *const w = v + points * k.input_apart, *const u = w + points * k.output_apart;
  float *const bias_sums = u + facts.weights * facts.weights * k.weight_apart;
  // Sums after the first, which is made where it belongs.
  float *const later = bias_sums + (long)count * outputs;
  const long later_apart = (long)k.chunk * k.panel * taps;
  for (long o = 0; o < (long)count * outputs; o += LANES) STORE(bias_sums + o, (VEC){0});
  tile_list lists[MOST_SUMMANDS];
  for (long first = 0; first < g.tiles; first += k.tiles) {
    const int is_last = first + k.tiles >= g.tiles;
    for (int n = 0; n < count; n++) {
      const long begin = tiles_per_sample * summands[n].start;
      list_tiles(&g, first + begin, min(k.tiles, tiles_per_sample * summands[n].samples - first), &lists[n]);
      NAME(transform_inputs)(scheme, s, &lists[n], x, v + begin * k.chunk, k.chunk, k.tiles, k.input_apart);
      NAME(transform_gradients)(
          scheme, s, &lists[n], dy, w + begin * k.panel, k.panel, k.tiles, k.output_apart,
          d_bias ? bias_sums + (long)n * outputs : 0);
    }
    for (int o = 0; o < outputs; o += k.panel) {
      const int panel = (int)min(k.panel, outputs - o);
      for (int c = 0; c < inputs; c += k.chunk) {
        const int channels = (int)min(k.chunk, inputs - c);
        weight_blocks sums[MOST_SUMS] = {
            {d_weight + NAME(weight_block)(s, c, o) * taps * LANES * LANES, padded_inputs(s) / LANES}};
        for (int n = 1; n < MOST_SUMS; n++)
          sums[n] = (weight_blocks){later + (n - 1) * later_apart, k.chunk / LANES};
        int depth = 0;
        for (int n = 0; n < count; n++) {
          const long begin = tiles_per_sample * summands[n].start;
          NAME(multiply_points)(
              scheme, s, &k, &lists[n], v + c * k.tiles + begin * k.chunk, w + o * k.tiles + begin * k.panel, u,
              channels, panel, first > 0, &g, first + k.tiles, x);
          if (!is_last) continue;
          depth -= summands[n].merges;
          NAME(put_gradients)(
              scheme, &k, u, channels, panel, sums + depth, summands[n].merges + (adds && n == 0));
          depth++;
        }
      }
    }
  }
  if (d_bias) NAME(add_bias)(summands, count, bias_sums, outputs, d_bias, adds);
}

#undef BY_KIND
