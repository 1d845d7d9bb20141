// How a call cuts its work. All of it depends on shapes alone.
#pragma once
#include "tiling.h"

static inline stretch stretch_of(const float *start, long count) {
  return (stretch){(const char *)start, (const char *)(start + count)};
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

// The distance between two points' matrices: an odd number of cache lines, so that the points of a tile do not fall
// into the same set of the cache.
static inline long apart(long floats) { return floats | 16; }

// With what fills the last block: it lies in memory, as zeros, but is not multiplied.
static inline int padded_inputs(const winograd_shape *s) { return (s->inputs + s->block - 1) / s->block * s->block; }

// What a call reads and writes of a block's tiles should stay in the second-level cache, but transformed weights should
// be used often. With a stride of 2 a tile has twice as many points.
static inline long most_tiles_per_block(const winograd_shape *s) {
  const int channels = s->inputs < s->outputs ? s->outputs : s->inputs;
  return (channels <= 32 ? 48 : channels <= 64 ? 32 : channels <= 128 ? 64 : MOST_TILES) / s->stride;
}

// Blocks are about equal, since the least of a product's rows costs as much as the most.
static inline long tiles_per_block(const winograd_shape *s, long tiles) {
  const long most = most_tiles_per_block(s);
  const long blocks = (tiles + most - 1) / most;
  return min(tiles, ((tiles + blocks - 1) / blocks + 3) / 4 * 4);
}

// A matrix whose columns lie in strips, as products read and write them.
typedef struct {
  float *start;
  long apart, rows_apart;
} strips;

// What a product knows of its factors: the second one is in a cache, or far away, most of all weights that another core
// updates; or the first one is transposed, and both have just been written.
typedef enum { NEAR, FAR, TRANSPOSED } factors;

// Output channels of a strip of products, less where there are less.
static inline int strip_of(const winograd_shape *s) { return (int)min(matrix_strip(s->block), s->outputs); }

typedef struct {
  long tiles;
  // Input channels whose weights are transformed together.
  int chunk;
  // Output channels of the same.
  int panel;
  // Input channels whose weights are made ready before they are multiplied, point by point. With several blocks of
  // tiles all of them: they are kept, and a point's sums stay near. With one block a chunk, whose place the next one
  // takes.
  int group;
  // Floats between two points' matrices.
  long input_apart;
  long output_apart;
  long weight_apart;
} blocking;

static inline blocking blocking_of(const winograd_shape *s, long tiles) {
  const long block = tiles_per_block(s, tiles);
  const int chunk = (int)min(64, padded_inputs(s)), panel = (int)min(4 * s->block, s->outputs), strip = strip_of(s);
  const long chunks = (s->inputs + chunk - 1) / chunk;
  return (blocking){
      block, chunk, panel, block < tiles ? s->inputs : chunk, apart(block * chunk * chunks), apart(block * panel),
      apart((long)chunk * ((panel + strip - 1) / strip * strip))};
}

typedef struct {
  long tiles;
  // Input and output channels whose gradients are finished together. With several blocks of tiles all of them, because
  // their sums go on from block to block; with few tiles, which many sums have little of, or several summands as many
  // as stay in the cache.
  int chunk;
  int panel;
  long input_apart;
  long output_apart;
  long weight_apart;
} gradient_blocking;

static inline gradient_blocking gradient_blocking_of(const winograd_shape *s, long tiles, int summands) {
  const long block = tiles_per_block(s, tiles);
  const int is_cut = block == tiles && (tiles <= 64 || summands > 1);
  const int inputs = padded_inputs(s), chunk = is_cut ? (int)min(64, inputs) : inputs;
  const int panel = block == tiles ? (int)min(64, s->outputs) : s->outputs;
  const long chunks = (s->inputs + chunk - 1) / chunk, panels = (s->outputs + panel - 1) / panel;
  return (gradient_blocking){
      block, chunk, panel, apart(block * chunk * chunks), apart(block * panel * panels), apart((long)chunk * panel)};
}

// What is transformed of several summands. Measured: with more, reading it again for every panel costs what adding up
// saves.
enum { MOST_FLOATS_OF_SUMMANDS = 2 << 20 };

static inline int samples_of(const summand *summands, int count) {
  int samples = 0;
  for (int n = 0; n < count; n++) samples += summands[n].samples;
  return samples;
}

// The gradients of some weights: blocks of [taps, b, b], so many of them from one block of outputs to the next.
typedef struct {
  float *start;
  long apart;
} weight_blocks;
