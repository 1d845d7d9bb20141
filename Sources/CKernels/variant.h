// All kernels, or those that round to bf16, once for VARIANT.

typedef float VEC __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float NAME(aligned_vector) __attribute__((vector_size(4 * LANES), may_alias));
typedef int MASK __attribute__((vector_size(4 * LANES)));
typedef uint16_t HALVES __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint8_t BYTES __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef double DOUBLES __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

#ifndef ONLY_ROUNDING
#include "strided.h"
#include "transforms.h"
#include "products.h"
#include "patches.h"
#include "passes.h"
#include "gradient.h"
#include "stem.h"
#include "winograd.h"
#include "pooling.h"
#include "elementwise.h"
#endif
#include "normalization.h"
#include "normalized_pooling.h"
#include "rounding.h"

#undef TARGET
#undef LANES
#undef VARIANT
