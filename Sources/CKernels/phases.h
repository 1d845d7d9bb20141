// What a large kernel on few plain channels with a stride of 2 is on the image's four phases, its even and odd rows and
// columns: they are the channels of an image with half the side, and 7 taps are 4, the first of which meets one phase
// alone.
#pragma once
#include "blocking.h"

enum { PHASES = 4, STEM_TAPS = 7, PHASE_TAPS = 4 };

static inline winograd_shape shape_of_phases(const winograd_shape *s) {
  winograd_shape p = *s;
  p.inputs = s->inputs * PHASES;
  p.height = s->output_height;
  p.width = s->output_width;
  p.padding = 2;
  p.stride = 1;
  return p;
}

static inline long phases_count(const winograd_shape *s, int samples) {
  const winograd_shape p = shape_of_phases(s);
  return (long)samples * padded_inputs(&p) * p.height * p.width;
}

static inline long phase_weights_count(const winograd_shape *s) {
  const winograd_shape p = shape_of_phases(s);
  return (long)padded_inputs(&p) * p.outputs * PHASE_TAPS * PHASE_TAPS;
}

// Where a phase's tap is in [7, 7, C]; -1 for those before the first and for channels that fill a block.
static inline int stem_tap(int inputs, int channel, int tap) {
  const int i = tap / PHASE_TAPS * 2 + channel / 2 % 2 - 1, j = tap % PHASE_TAPS * 2 + channel % 2 - 1;
  return channel >= inputs * PHASES || i < 0 || j < 0 ? -1 : (i * STEM_TAPS + j) * inputs + channel / PHASES;
}
