// All kernels, once for VARIANT.

typedef float VEC __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int MASK __attribute__((vector_size(4 * LANES)));

#include "transforms.h"
#include "products.h"
#include "patches.h"
#include "passes.h"
#include "pooling.h"
#include "normalization.h"
#include "bfloat16.h"
#include "elementwise.h"

#undef TARGET
#undef LANES
#undef VARIANT
