// Activations in their forms, as the passes of normalizations read and write them, and sums over them.
#pragma once

// Does something with an activation of one form; the compiler makes a loop for each form.
#define BY_FORM(a, ...)                                                                                                \
  if ((a).halves) IN_FORM(a, 0, (a).halves, __VA_ARGS__)                                                               \
  else if ((a).floats) IN_FORM(a, (a).floats, 0, __VA_ARGS__)                                                          \
  else IN_FORM(a, 0, 0, __VA_ARGS__)
#define IN_FORM(a, floats, halves, ...)                                                                                \
  {                                                                                                                    \
    const activation known = {floats, halves};                                                                         \
    const activation a = known;                                                                                        \
    __VA_ARGS__;                                                                                                       \
  }
#define FLOATS(a) ((activation){(a).floats, 0})
#define HALVES_OF(a) ((activation){0, (a).halves})

#define IS_THERE(a) ((a).floats || (a).halves)
#define IN_HALVES(a, p) EXPANDED(LOAD_HALVES((a).halves + (p)))
#define AT(a, p) ((a).halves ? IN_HALVES(a, p) : LOAD((a).floats + (p)))
// As Floats where it is both.
#define IN_FLOATS(a, p) ((a).floats ? LOAD((a).floats + (p)) : IN_HALVES(a, p))

// Puts a vector wherever it is wanted, rounded to bf16 if it `rounds`.
#define PUT(a, p, v, rounds)                                                                                           \
  {                                                                                                                    \
    if ((a).floats) STORE((a).floats + (p), (rounds) ? ROUNDED(v) : (v));                                              \
    if ((a).halves) STORE_HALVES((a).halves + (p), HALVED(v));                                                         \
  }

// max(v, 0), so compared that NaN stays: a diverged run must show in the loss.
#define RECTIFIED(v) SELECT((v) <= 0, (VEC){0}, v)

#define DOUBLES NAME(doubles)
#define WIDEN(v) __builtin_convertvector(v, DOUBLES)

// The longest run of pixels that one Float accumulator takes before it is flushed to Double.
enum { RUN = 256 };

// How the pixels of a block of channels lie.
typedef struct {
  long images;
  /// Of an image, and the distance from one to the next.
  long pixels, step;
} pixel_grid;

// Vectors are one image, whose pixels are the samples; or an image each, if they go `one_by_one`.
static inline pixel_grid pixel_grid_of(const norm_shape *s, int samples, int lanes, int one_by_one) {
  if (s->positions == 1 && !one_by_one) return (pixel_grid){1, samples, s->channels};
  return (pixel_grid){samples, s->positions, lanes};
}

// Channels from which on elementwise passes take vectors one by one, as they lie in memory, and fetch a channel's
// coefficients for each. Measured (`lockstep bench step`).
enum { WIDE = 1024 };

// As many blocks of a vector's channels are taken at once. Samples may lie pages apart: a cache line of which only one
// block was read has often left the cache before the next block's turn.
enum { BAND = 4 };
