// Which tiles a call has, and how it cuts its work. All of it depends on shapes alone.
#pragma once
#include "CKernels.h"

static inline long min(long a, long b) { return a < b ? a : b; }
static inline long max(long a, long b) { return a > b ? a : b; }

// A tile's points per side, of which it has the square. An image as small as its tile has no neighbors but zeros, and
// takes fewer.
static inline int points_per_side(const winograd_shape *s) {
  const int is_whole = s->tile <= 2 && s->padding == 1 && s->height == s->tile && s->width == s->tile;
  return is_whole ? 2 * s->tile - 1 : s->tile + 2;
}

// A tile's outputs and inputs per side, and the zeros before the first one's, by its points per side.
static inline int outputs_of(int side) { return side > 3 ? side - 2 : (side + 1) / 2; }
static inline int inputs_of(int side) { return side > 3 ? side : outputs_of(side); }
static inline int margin_of(int side, const winograd_shape *s) { return side > 3 ? s->padding : 0; }

typedef struct {
  int tile;
  int rows;
  int columns;
  long tiles;
} grid;

static inline grid grid_of(const winograd_shape *s, int samples) {
  const int rows = (s->output_height + s->tile - 1) / s->tile, columns = (s->output_width + s->tile - 1) / s->tile;
  return (grid){s->tile, rows, columns, (long)samples * rows * columns};
}

// A tile's sample and its first output.
typedef struct {
  int sample;
  int row;
  int column;
} place;

static inline place place_of(const grid *g, long number) {
  const int in_sample = (int)(number % (g->rows * g->columns));
  return (place){
      (int)(number / (g->rows * g->columns)), in_sample / g->columns * g->tile, in_sample % g->columns * g->tile};
}

// Brings some lines of the first stretch that has any into the second-level cache; returns that stretch.
static inline stretch *read_ahead(stretch *s, int lines) {
  while (s->end && s->next >= s->end) s++;
  if (!s->end) return s;
  const char *line = s->next;
  for (int i = 0; i < lines; i++, line += 64) __builtin_prefetch(line, 0, 2);
  s->next = line;
  return s;
}

// The distance between two points' matrices: an odd number of cache lines, so that the points of a tile do not fall into
// the same set of the cache.
static inline long apart(long floats) { return floats | 16; }

// Tiles per block: what a call reads and writes of them should stay in the second-level cache, but transformed weights
// should be used often. Blocks are about equal, since the least of a product's rows costs as much as the most.
static inline long tiles_per_block(const winograd_shape *s, long tiles) {
  const int channels = s->inputs < s->outputs ? s->outputs : s->inputs;
  const long most = channels <= 32 ? 48 : channels <= 64 ? 32 : channels <= 128 ? 64 : 128;
  const long blocks = (tiles + most - 1) / most;
  return min(tiles, ((tiles + blocks - 1) / blocks + 3) / 4 * 4);
}

typedef struct {
  long tiles;
  // Input channels whose weights are transformed together.
  int chunk;
  // Output channels of the same.
  int panel;
  // Floats between two points' matrices.
  long input_apart;
  long output_apart;
  long weight_apart;
} blocking;

static inline blocking blocking_of(const winograd_shape *s, long tiles) {
  const long block = tiles_per_block(s, tiles);
  const int chunk = (int)min(64, s->inputs), panel = (int)min(32, s->outputs);
  const long chunks = (s->inputs + chunk - 1) / chunk;
  return (blocking){
      block, chunk, panel, apart(block * chunk * chunks), apart(block * panel),
      apart((long)chunk * ((panel + 31) & ~31))};
}

typedef struct {
  long tiles;
  // Input and output channels whose gradients are finished together. With several blocks of tiles all of them, because
  // their sums go on from block to block; with few tiles, which many sums have little of, as many as stay in the cache.
  int chunk;
  int panel;
  long input_apart;
  long output_apart;
  long weight_apart;
} gradient_blocking;

static inline gradient_blocking gradient_blocking_of(const winograd_shape *s, long tiles) {
  const long block = tiles_per_block(s, tiles);
  const int chunk = block == tiles && tiles <= 64 ? (int)min(64, s->inputs) : s->inputs;
  const int panel = block == tiles ? (int)min(64, s->outputs) : s->outputs;
  const long chunks = (s->inputs + chunk - 1) / chunk, panels = (s->outputs + panel - 1) / panel;
  return (gradient_blocking){
      block, chunk, panel, apart(block * chunk * chunks), apart(block * panel * panels), apart((long)chunk * panel)};
}
