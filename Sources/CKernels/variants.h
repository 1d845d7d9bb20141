// The KERNELS of a file, for each set of instructions.

#define VARIANT portable
#define LANES 8
#define TARGET
#include "variant.h"

#define VARIANT avx2
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "variant.h"

#define VARIANT avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f,fma")))
#include "variant.h"
