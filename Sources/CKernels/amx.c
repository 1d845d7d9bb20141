#include "CKernels.h"

#if defined(__x86_64__)

#include "blocking.h"
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TARGET __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define FUNCTION static __attribute__((noinline)) TARGET

// A tile has 16 rows of 64 bytes: 16 Floats, or 16 pairs of bf16 numbers.
enum { SIDE = 16, TILE = SIDE * SIDE };

int amx_request(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 22) || !(d & 1u << 24)) return 0;
  // Linux keeps the tiles from a process until it asks for them, because they enlarge what a context switch saves.
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

// Products add to tiles 0 to 3, of so many rows; factors are tiles 4 (rows by depth) and 5 (depth by 16), or 5 (16 by depth).
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

#include "amx_convolution.h"
#include "amx_gradient.h"
#else

int amx_request(void) { return 0; }

#endif
