// The KERNELS of a file, once: for vectors of LANES Floats, as VARIANT.

typedef float VEC __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float NAME(aligned_vector) __attribute__((vector_size(4 * LANES), may_alias));
typedef int MASK __attribute__((vector_size(4 * LANES)));
typedef uint16_t HALVES __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint8_t BYTES __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef double DOUBLES __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

// The elements of two vectors by turns: those of the lower halves, or of the upper ones. And the numbers of elements.
#if LANES == 16
#define SHUFFLE_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define SHUFFLE_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define NUMBERS ((MASK){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#else
#define SHUFFLE_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define SHUFFLE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define NUMBERS ((MASK){0, 1, 2, 3, 4, 5, 6, 7})
#endif

#include KERNELS

#undef SHUFFLE_LOW
#undef SHUFFLE_HIGH
#undef NUMBERS
#undef TARGET
#undef LANES
#undef VARIANT
