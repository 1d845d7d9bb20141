// All kernels, once for VARIANT.

typedef float VEC __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#include "transforms.h"
#include "products.h"
#include "patches.h"
#include "passes.h"

#undef TARGET
#undef LANES
#undef VARIANT
