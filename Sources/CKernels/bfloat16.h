// bf16 is the upper half of a Float: its sign, its exponent, and 7 bits of its fraction.
#pragma once

// To the nearest bf16, ties to even: half a unit of the last place is added, less a little if that place is even. Infinity
// stays, and what is too large becomes infinite by the carry; NaN, which the carry could spoil, stays NaN.
#define ROUNDED(v)                                                                                                     \
  ({                                                                                                                   \
    const MASK word = (MASK)(v), carried = word + 0x7fff + ((word >> 16) & 1), quiet = word | 0x400000;                \
    const MASK is_nan = (word & 0x7fffffff) > 0x7f800000;                                                              \
    (VEC)(((is_nan & quiet) | (~is_nan & carried)) & ~0xffff);                                                         \
  })

// The upper halves of a rounded vector, and back.
#define KEEP(address, v) (*(HALVES *)(address) = __builtin_convertvector(((MASK)(v) >> 16) & 0xffff, HALVES))
#define EXPANDED(address) ((VEC)(__builtin_convertvector(*(const HALVES *)(address), MASK) << 16))
