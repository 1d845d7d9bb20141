#pragma once
#include <oneapi/dnnl/dnnl.h>

// The format tag for "the implementation's choice" is an enumerator without a Swift name of its own type.
static inline dnnl_format_tag_t lockstep_dnnl_any(void) { return dnnl_format_tag_any; }
