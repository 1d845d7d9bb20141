#include "CKernels.h"

#if defined(__x86_64__)

#include "blocking.h"
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512bf16,amx-tile,amx-bf16")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define FUNCTION static __attribute__((noinline)) TARGET

// A tile has 16 rows of 64 bytes: 16 Floats, or 16 pairs of bf16 numbers.
enum { SIDE = 16, TILE = SIDE * SIDE };

int amx_request(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 22) || !(d & 1u << 24)) return 0;
  if (!__builtin_cpu_supports("avx512bf16")) return 0;
  // Linux keeps the tiles from a process until it asks for them, because they enlarge what a context switch saves.
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

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

#include "amx_passage.h"
#include "amx_convolution.h"
#include "amx_strips.h"
#include "amx_gradient.h"

size_t amx_scratch(const amx_shape *s, int samples) {
  const passage f = forward_passage(s, samples), b = backward_passage(s, samples);
  const stripes t = stripes_of(s, samples);
  const long forward = samples_at_once(&f) * packed_sample(&f), data = samples_at_once(&b) * packed_sample(&b);
  const long weights =
      2 * (s->outputs + waiting_sums(&t)) + t.strips_packed * (t.blocks_packed * t.x_block + t.dy_strip);
  return (size_t)max(max(forward, data), weights) * sizeof(uint16_t);
}

#else

int amx_request(void) { return 0; }
size_t amx_scratch(const amx_shape *s, int samples) { __builtin_trap(); }
void amx_forward(
    const amx_shape *s, activation x, const uint16_t *weight, const float *bias, activation y, int samples,
    void *scratch) {
  __builtin_trap();
}
void amx_backward_data(
    const amx_shape *s, activation dy, const uint16_t *weight, activation dx, int samples, void *scratch) {
  __builtin_trap();
}
void amx_backward_weights(
    const amx_shape *s, activation x, activation dy, float *d_weight, float *d_bias, int adds, int samples,
    void *scratch) {
  __builtin_trap();
}

#endif
