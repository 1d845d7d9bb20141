// In this order: what comes later uses what comes before.

#include "functions.h"
#include "normalization.h"
#include "normalized_pooling.h"
#include "rounding.h"
