// What all of AMX's kernels use: tiles, and pairs of bf16 numbers of 16 channels.
#pragma once

#include "blocking.h"
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512bf16,amx-tile,amx-bf16")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define FUNCTION static __attribute__((noinline)) TARGET

// A tile has 16 rows of 64 bytes: 16 Floats, or 16 pairs of bf16 numbers.
enum { SIDE = 16, TILE = SIDE * SIDE };

// Products add to tiles 0 to 3, of so many rows; factors are tiles 4 (rows by depth) and 5 (depth by 16).
INLINE void configure(int rows, int depth) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } __attribute__((aligned(64))) c = {.palette = 1};
  for (int i = 0; i < 4; i++) {
    c.row_bytes[i] = 64;
    c.rows[i] = (uint8_t)rows;
  }
  c.row_bytes[4] = (uint16_t)(2 * depth);
  c.rows[4] = (uint8_t)rows;
  c.row_bytes[5] = 64;
  c.rows[5] = (uint8_t)(depth / 2);
  _tile_loadconfig(&c);
}

// 16 channels of the element at a place, as 16-bit numbers.
INLINE __m256i halves_at(activation a, long place) {
  return a.halves ? _mm256_loadu_si256((const __m256i *)(a.halves + place))
                  : _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_loadu_si512(a.floats + place), 16));
}

// 16 pairs of the 16-bit numbers in a vector's lower and upper half.
INLINE __m512i paired(__m512i v) {
  const __m512i order = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16,
      0);
  return _mm512_permutexvar_epi16(order, v);
}

INLINE __m512i pairs_of(__m256i low, __m256i high) {
  return paired(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

// Pairs of the channels of two pixels so many elements apart.
INLINE __m512i pairs_at(activation a, long place, long apart) {
  if (a.halves && apart == 16) return paired(_mm512_loadu_si512(a.halves + place));
  if (a.halves) return pairs_of(halves_at(a, place), halves_at(a, place + apart));
  const __m512i low = _mm512_loadu_si512(a.floats + place), high = _mm512_loadu_si512(a.floats + place + apart);
  return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(low, 16), high);
}

// Does something with an activation of either form; the compiler makes code for each.
#define IN_EITHER_FORM(a, function, ...)                                                                               \
  ((a).halves ? function((activation){0, (a).halves}, __VA_ARGS__) : function((activation){(a).floats, 0}, __VA_ARGS__))

static inline activation from(activation a, long place) {
  return (activation){a.floats ? a.floats + place : 0, a.halves ? a.halves + place : 0};
}
