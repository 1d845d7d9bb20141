// The stem: a 7x7 convolution of plain channels with a stride of 2, as one of phases.

// [n, C'/b, H', W', b] from [n, C, H, W]; channel c' is (channel, row's parity, column's parity).
FUNCTION void NAME(split_image)(const winograd_shape *s, const float *x, int samples, float *phases) {
  const winograd_shape p = shape_of_phases(s);
  memset(phases, 0, sizeof(float) * phases_count(s, samples));
  for (int n = 0; n < samples; n++, phases += (long)padded_inputs(&p) * p.height * p.width)
    for (int c = 0; c < s->inputs; c++)
      for (int i = 0; i < s->height; i++, x += s->width) {
        const int channel = c * PHASES + i % 2 * 2;
        float *const block = phases + (long)channel / LANES * p.height * p.width * LANES + channel % LANES;
        float *const row = block + (long)(i / 2) * p.width * LANES;
        for (int j = 0; j < s->width; j++) row[(long)(j / 2) * LANES + j % 2] = x[j];
      }
}

// [K/b, C'/b, 4, 4, b, b] and [K/b, 7, 7, C, b]: one of them from the other.
INLINE void NAME(move_weight)(const winograd_shape *s, float *weight, float *phases, int splits) {
  const winograd_shape p = shape_of_phases(s);
  for (int o = 0; o < s->outputs; o += LANES, weight += s->inputs * STEM_TAPS * STEM_TAPS * LANES)
    for (int c = 0; c < padded_inputs(&p); c += LANES)
      for (int tap = 0; tap < PHASE_TAPS * PHASE_TAPS; tap++)
        for (int i = c; i < c + LANES; i++, phases += LANES) {
          const int place = stem_tap(s->inputs, i, tap);
          if (splits) STORE(phases, place < 0 ? (VEC){0} : LOAD(weight + place * LANES));
          else if (place >= 0) STORE(weight + place * LANES, LOAD(phases));
        }
}

FUNCTION void NAME(split_weight)(const winograd_shape *s, const float *weight, float *phases) {
  NAME(move_weight)(s, (float *)weight, phases, 1);
}

FUNCTION void NAME(join_weight)(const winograd_shape *s, float *phases, float *weight) {
  NAME(move_weight)(s, weight, phases, 0);
}

FUNCTION void NAME(stem_forward)(
    const winograd_shape *s, const float *x, const float *weight, const float *bias, float *y, int samples,
    float *scratch, stretch *ahead) {
  const winograd_shape p = shape_of_phases(s);
  float *const image = scratch, *const phases = image + phases_count(s, samples);
  NAME(split_image)(s, x, samples, image);
  NAME(split_weight)(s, weight, phases);
  NAME(forward_tiles)(STEM, &p, image, phases, bias, y, samples, phases + phase_weights_count(s), ahead);
}

FUNCTION void NAME(stem_backward_weights)(
    const winograd_shape *s, const float *x, const float *dy, float *d_weight, float *d_bias, int adds,
    const summand *summands, int count, float *scratch) {
  const winograd_shape p = shape_of_phases(s);
  const int samples = samples_of(summands, count);
  float *const image = scratch, *const phases = image + phases_count(s, samples);
  NAME(split_image)(s, x, samples, image);
  if (adds) NAME(split_weight)(s, d_weight, phases);
  NAME(backward_weights_tiles)(
      STEM, &p, image, dy, phases, d_bias, adds, summands, count, phases + phase_weights_count(s));
  NAME(join_weight)(s, phases, d_weight);
}
