#include "CKernels.h"

#include "amx_convolution.h"
#include "amx_gradient.h"
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

int amx_request(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 22) || !(d & 1u << 24)) return 0;
  if (!__builtin_cpu_supports("avx512bf16")) return 0;
  // Linux keeps the tiles from a process until it asks for them, because they enlarge what a context switch saves.
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

size_t amx_scratch(const amx_shape *s, int samples) {
  const passage f = forward_passage(s, samples), b = backward_passage(s, samples);
  const stripes t = stripes_of(s, samples);
  const long forward = samples_at_once(&f) * packed_sample(&f), data = samples_at_once(&b) * packed_sample(&b);
  const long weights =
      2 * (s->outputs + waiting_sums(&t)) + t.strips_packed * (t.blocks_packed * t.x_block + t.dy_strip);
  return (size_t)max(max(forward, data), weights) * sizeof(uint16_t);
}
