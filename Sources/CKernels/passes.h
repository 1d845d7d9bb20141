// The way forward, and the gradient's way: tiles in blocks that stay in cache, input channels in chunks, output
// channels in panels.

// Some tiles' inputs, as [points, C / chunk, capacity, chunk].
INLINE void NAME(transform_inputs)(
    scheme scheme, const winograd_shape *s, const tile_list *list, const float *x, float *v, int chunk, long capacity,
    long apart) {
  const int step = facts_of[scheme].input_step, margin = facts_of[scheme].pads ? s->padding : 0;
  const int inputs = padded_inputs(s);
  for (long t = 0; t < list->count; t++) {
    const tile tile = list->tiles[t];
    for (int c = 0; c < inputs; c += LANES)
      BY_KIND(
          NAME(input_patch), scheme, tile.kind, x + ((long)tile.sample * inputs + c) * s->height * s->width, s->height,
          s->width, tile.row * step - margin, tile.column * step - margin,
          v + c / chunk * chunk * capacity + t * chunk + c % chunk, apart, 0)
  }
}

// Lets some tiles' pixels come into the second-level cache while products keep the processor busy.
INLINE void NAME(prefetch_tiles)(
    int step, int pixels, const grid *g, long first, long end, const float *image, int channels, int height,
    int width) {
  for (long t = first; t < min(end, g->tiles); t++) {
    const tile tile = tile_of(g, t);
    for (int c = 0; c < channels; c += LANES) {
      const float *row = image + ((long)tile.sample * channels + c) * height * width;
      row += ((long)tile.row * width + tile.column) * step * LANES;
      UNROLL for (int i = 0; i < pixels; i++, row += (long)width * LANES)
        UNROLL for (int j = 0; j < pixels; j++) __builtin_prefetch(row + j * LANES, 0, 2);
    }
  }
}

INLINE long NAME(weight_block)(const winograd_shape *s, int input, int output) {
  const long in = input / LANES, out = output / LANES;
  return s->is_transposed ? in * (s->outputs / LANES) + out : out * (padded_inputs(s) / LANES) + in;
}

// One of the weight's blocks, each of its taps' matrices transposed.
INLINE void NAME(transpose_taps)(scheme scheme, const float *block, float *turned) {
  const long square = LANES * LANES;
  for (int t = 0; t < facts_of[scheme].taps * facts_of[scheme].taps; t++)
    if (is_used(scheme, t)) NAME(transpose)(block + t * square, LANES, LANES, turned + t * square, LANES);
}

// A chunk's weights to a panel, as [points, panel / strip, count, strip]. Block by block, as they lie in memory, and
// the next one on its way into the cache: a call with few tiles waits for little else.
INLINE void NAME(transform_weights)(
    scheme scheme, const winograd_shape *s, const float *weight, int input, int count, int output, int panel, float *u,
    long apart) {
  const int taps = facts_of[scheme].taps * facts_of[scheme].taps, strip = strip_of(s);
  const long size = taps * LANES * LANES;
  _Alignas(64) float turned[MOST_TAPS * MOST_TAPS * LANES * LANES];
  for (int j = 0; j < panel; j += LANES)
    for (int i = 0; i < count; i += LANES) {
      const float *block = weight + NAME(weight_block)(s, input + i, output + j) * size;
      const int is_last = i + LANES >= count;
      const int next_input = is_last ? input : input + i + LANES;
      const int next_output = is_last ? output + j + LANES : output + j;
      const float *const next = weight + NAME(weight_block)(s, next_input, next_output) * size;
      if (s->is_transposed) {
        NAME(transpose_taps)(scheme, block, turned);
        block = turned;
      }
      for (int r = 0; r < min(LANES, count - i); r++) {
        UNROLL for (int t = 0; t < taps; t++)
          if (is_used(scheme, t)) __builtin_prefetch(next + (t * LANES + r) * LANES, 0, 2);
        NAME(weight_patch)(
            scheme, block + r * LANES, s->is_transposed, u + j / strip * strip * count + (i + r) * strip + j % strip,
            apart);
      }
    }
}

INLINE void NAME(forward_tiles)(
    scheme scheme, const winograd_shape *s, const float *x, const float *weight, const float *bias, float *y,
    int samples, float *scratch, stretch *ahead) {
  const scheme_facts facts = facts_of[scheme];
  const int points = facts.points * facts.points;
  const int inputs = s->inputs, outputs = s->outputs, strip = strip_of(s);
  const grid g = grid_of(s, samples);
  const blocking k = blocking_of(s, g.tiles);
  const long chunk_apart = facts.weights * facts.weights * k.weight_apart, chunks = (inputs + k.chunk - 1) / k.chunk;
  float *const v = scratch, *const m = v + points * k.input_apart, *const u = m + points * k.output_apart;
  for (long first = 0; first < g.tiles; first += k.tiles) {
    tile_list list;
    list_tiles(&g, first, min(k.tiles, g.tiles - first), &list);
    NAME(transform_inputs)(scheme, s, &list, x, v, k.chunk, k.tiles, k.input_apart);
    float *ready = u;
    for (int o = 0; o < outputs; o += k.panel) {
      const int panel = (int)min(k.panel, outputs - o);
      for (int group = 0; group < inputs; group += k.group) {
        const int end = (int)min(group + k.group, inputs);
        for (int i = 0; i < points; i++) {
          const tile_range tiles = tiles_with(&list, scheme, i);
          // Outputs have long left the cache; a gradient's place, the slice's own, has not.
          if (o == 0 && group == 0 && !s->is_transposed)
            NAME(prefetch_tiles)(
                facts.output_step, facts.outputs, &g, first + list.count * i / points,
                first + list.count * (i + 1) / points, y, outputs, s->output_height, s->output_width);
          float *chunk = ready;
          for (int c = group; c < end; c += k.chunk, chunk += chunk_apart) {
            const int count = (int)min(k.chunk, end - c);
            if (first == 0 && i == 0)
              NAME(transform_weights)(scheme, s, weight, c, count, o, panel, chunk, k.weight_apart);
            // Measured. On the way forward outputs are prefetched too.
            ahead = read_ahead(ahead, s->is_transposed ? 20 : 10);
            NAME(multiply)(
                NEAR, v + i * k.input_apart + c * k.tiles + tiles.first * k.chunk, k.chunk,
                (strips){chunk + weight_at(scheme, i) * k.weight_apart, count * strip, strip},
                (strips){m + i * k.output_apart + tiles.first * k.panel, strip, k.panel}, strip, tiles.count, panel,
                count, c > 0, (stretch){0});
          }
        }
      }
      if (k.tiles < g.tiles) ready += chunks * chunk_apart;
      for (long t = 0; t < list.count; t++) {
        const tile tile = list.tiles[t];
        for (int j = 0; j < panel; j += LANES)
          BY_KIND(
              NAME(output_patch), scheme, tile.kind, m + t * k.panel + j, k.output_apart, bias ? bias + o + j : 0,
              y + ((long)tile.sample * outputs + o + j) * s->output_height * s->output_width, s->output_height,
              s->output_width, tile.row * facts.output_step, tile.column * facts.output_step)
      }
    }
  }
}
