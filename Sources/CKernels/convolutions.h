// In this order: what comes later uses what comes before.

#include "strided.h"
#include "transforms.h"
#include "products.h"
#include "transposition.h"
#include "patches.h"
#include "passes.h"
#include "gradient.h"
#include "stem.h"
#include "winograd.h"
#include "pooling.h"
#include "elementwise.h"
