// How one dimension of a tile is computed. A tile is the product of two schemes, its points the square of their points.
#pragma once
#include "CKernels.h"

typedef enum {
  // An image of one pixel, and of two, which has no neighbors but zeros.
  PIXEL,
  PAIR,
  // F(m, 3).
  F2,
  F3,
  F4,
  // Every second output: F(m, 2) of the outer taps over every second input, and the middle tap times the inputs
  // between, point by point.
  DOWN3,
  DOWN4,
  // The way back from there: m inputs and a neighbor become 2 m outputs, by turns of the middle tap and of the outer
  // ones.
  UP3,
  UP4,
  // F(3, 4).
  STEM,
} scheme;

// Of m places on the smaller of the two images.
typedef struct {
  int places;
  int inputs;
  int outputs;
  int points;
  int taps;
  // Points of the weight: the middle tap of a stride of 2 is one, however often it is used.
  int weights;
  // From one place to the next.
  int input_step;
  int output_step;
  // Whether the first input is a padding before the first place.
  int pads;
} scheme_facts;

enum { MOST_POINTS = 9, MOST_OUTPUTS = 8, MOST_TAPS = 4 };

static const scheme_facts facts_of[] = {
    [PIXEL] = {1, 1, 1, 1, 3, 1, 1, 1, 0}, [PAIR] = {2, 2, 2, 3, 3, 3, 1, 1, 0},  [F2] = {2, 4, 2, 4, 3, 4, 1, 1, 1},
    [F3] = {3, 5, 3, 5, 3, 6, 1, 1, 1},    [F4] = {4, 6, 4, 6, 3, 6, 1, 1, 1},    [DOWN3] = {3, 7, 3, 7, 3, 6, 2, 1, 1},
    [DOWN4] = {4, 9, 4, 9, 3, 6, 2, 1, 1}, [UP3] = {3, 4, 6, 7, 3, 6, 1, 2, 0},   [UP4] = {4, 5, 8, 9, 3, 6, 1, 2, 0},
    [STEM] = {3, 6, 3, 6, 4, 6, 1, 1, 1},
};

// What an image's last tiles may be cut to: a scheme that leaves out the last points and has the others' weights.
static inline scheme shorter(scheme s) { return s == F4 || s == DOWN4 || s == UP4 ? s - 1 : s; }

static inline scheme scheme_of(const winograd_shape *s) {
  if (s->tile == 3) return STEM;
  if (s->stride == 2) return s->is_transposed ? UP4 : DOWN4;
  if (s->tile == 4) return F4;
  const int is_whole = s->padding == 1 && s->height == s->tile && s->width == s->tile;
  return !is_whole ? F2 : s->tile == 2 ? PAIR : PIXEL;
}

// Whether a tap of the weight, counted row by row, ever meets anything but padding.
static inline int is_used(scheme s, int tap) { return s != PIXEL || tap == 4; }

static inline int is_strided(scheme s) { return s >= DOWN3 && s <= UP4; }

// The weight's point of one dimension that is multiplied at a tile's.
static inline int side_weight_at(scheme s, int point) {
  static const int strided[] = {0, 1, 2, 3, 4, 4, 4, 5, 4};
  return is_strided(s) ? strided[point] : point;
}

// A tile's points lie column by column.
static inline int row_of(scheme s, int point) { return point % facts_of[s].points; }
static inline int column_of(scheme s, int point) { return point / facts_of[s].points; }

// The weight's point that is multiplied at a tile's.
static inline int weight_at(scheme s, int point) {
  return side_weight_at(s, column_of(s, point)) * facts_of[s].weights + side_weight_at(s, row_of(s, point));
}

// Whether an earlier point has the same.
static inline int side_repeats(scheme s, int point) { return point > 4 && side_weight_at(s, point) == 4; }
static inline int repeats(scheme s, int point) {
  return side_repeats(s, row_of(s, point)) || side_repeats(s, column_of(s, point));
}
