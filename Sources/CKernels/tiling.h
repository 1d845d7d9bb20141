// Which tiles images are cut into. All of it depends on shapes alone.
#pragma once
#include "schemes.h"

static inline long min(long a, long b) { return a < b ? a : b; }
static inline long max(long a, long b) { return a > b ? a : b; }

// One dimension of an image: as few tiles as cover it, the last ones short where they hang over otherwise.
typedef struct {
  int places;
  int whole;
  int tiles;
} cut;

static inline cut cut_of(scheme s, int length) {
  const int places = facts_of[s].places, tiles = (length + places - 1) / places;
  return (cut){places, shorter(s) == s ? tiles : (int)max(0, length - tiles * (places - 1)), tiles};
}

static inline int first_place(const cut *c, int tile) { return tile * c->places - (int)max(0, tile - c->whole); }

static inline long points_in(scheme s, const cut *c) {
  return (long)c->whole * facts_of[s].points + (long)(c->tiles - c->whole) * facts_of[shorter(s)].points;
}

typedef struct {
  cut vertical;
  cut horizontal;
  long tiles;
} grid;

static inline grid grid_of(const winograd_shape *s, int samples) {
  const scheme scheme = scheme_of(s);
  const int is_up = facts_of[scheme].output_step > 1;
  const cut vertical = cut_of(scheme, is_up ? s->height : s->output_height);
  const cut horizontal = cut_of(scheme, is_up ? s->width : s->output_width);
  return (grid){vertical, horizontal, (long)samples * vertical.tiles * horizontal.tiles};
}

// In an order in which the tiles that have a point lie together, whichever point it is.
typedef enum { NARROW, WHOLE, LOW, SMALL, KINDS } kind;

typedef struct {
  kind kind;
  int sample;
  int row;
  int column;
} tile;

static inline tile tile_at(const grid *g, int sample, int i, int j) {
  const int is_low = i >= g->vertical.whole, is_narrow = j >= g->horizontal.whole;
  return (tile){
      is_low ? (is_narrow ? SMALL : LOW) : is_narrow ? NARROW : WHOLE, sample, first_place(&g->vertical, i),
      first_place(&g->horizontal, j)};
}

static inline tile tile_of(const grid *g, long number) {
  const int columns = g->horizontal.tiles, row = (int)(number / columns);
  return tile_at(g, row / g->vertical.tiles, row % g->vertical.tiles, (int)(number % columns));
}

enum { MOST_TILES = 128 };

// Some tiles, by kind.
typedef struct {
  long count;
  long first[KINDS + 1];
  tile tiles[MOST_TILES];
} tile_list;

static inline void list_tiles(const grid *g, long first, long count, tile_list *list) {
  tile tiles[MOST_TILES];
  long of_kind[KINDS] = {0};
  const int row = (int)(first / g->horizontal.tiles);
  int sample = row / g->vertical.tiles, i = row % g->vertical.tiles, j = (int)(first % g->horizontal.tiles);
  for (long t = 0; t < count; t++) {
    tiles[t] = tile_at(g, sample, i, j);
    of_kind[tiles[t].kind]++;
    if (++j < g->horizontal.tiles) continue;
    j = 0;
    if (++i < g->vertical.tiles) continue;
    i = 0;
    sample++;
  }
  list->count = count;
  list->first[0] = 0;
  for (int k = 0; k < KINDS; k++) {
    list->first[k + 1] = list->first[k] + of_kind[k];
    of_kind[k] = list->first[k];
  }
  for (long t = 0; t < count; t++) list->tiles[of_kind[tiles[t].kind]++] = tiles[t];
}

// Those that have a point.
typedef struct {
  long first;
  long count;
} tile_range;

static inline tile_range tiles_with(const tile_list *list, scheme s, int point) {
  const int row = row_of(s, point), column = column_of(s, point), short_points = facts_of[shorter(s)].points;
  const long first = column < short_points ? 0 : list->first[WHOLE];
  const long end = row >= short_points ? list->first[LOW] : column < short_points ? list->count : list->first[SMALL];
  return (tile_range){first, end - first};
}
