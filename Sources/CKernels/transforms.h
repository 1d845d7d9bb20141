// The transforms of one dimension, on vectors of LANES channels.
//
// F(2, 3) interpolates at 0, 1, -1 and infinity; F(4, 3) at 0, +-a, b, infinity and -b, in this order. a = 5/8, b = 3/2
// are exact in binary and keep the error at half of what the usual 1 and 2 give. With M(p) the product over the other
// finite points q of (x - q), the rows of B^T are M's coefficients, those of A^T the points' powers, and G's row is
// (1, p, p^2) / M(p). F(3, 4) has the same B^T and a p^3. F(3, 3) does without -b, and its B^T has the factors p + b
// that F(4, 3)'s weights lack for it.
//
// An image of two pixels is y0 = w1 x0 + w2 x1, y1 = w0 x0 + w1 x1, by Karatsuba's trick: w1 (x0 + x1), (w2 - w1) x1,
// (w0 - w1) x0.

#define A1 0.625f
#define A2 (A1 * A1)
#define A3 (A1 * A2)
#define B1 1.5f
#define B2 (B1 * B1)
#define B3 (B1 * B2)
// 1 / M(p) at p = 0, +-a and +-b.
#define N0 (1 / (A2 * B2))
#define NA (1 / (2 * A2 * (A2 - B2)))
#define NB (1 / (2 * B2 * (B2 - A2)))

// t = B^T d: inputs
INLINE void NAME(transform_input)(scheme s, const VEC *d, VEC *t) {
  if (s == F4 || s == STEM) {
    const VEC p = d[4] - B2 * d[2], q = d[3] - B2 * d[1], r = d[4] - A2 * d[2], v = d[3] - A2 * d[1];
    t[0] = A2 * B2 * d[0] + (d[4] - (A2 + B2) * d[2]);
    t[1] = p + A1 * q;
    t[2] = p - A1 * q;
    t[3] = r + B1 * v;
    t[4] = A2 * B2 * d[1] + (d[5] - (A2 + B2) * d[3]);
    t[5] = r - B1 * v;
  } else if (s == F3) {
    const VEC p = d[2] - A2 * d[0], q = d[3] - A2 * d[1];
    t[0] = B1 * q - B2 * p;
    t[1] = (A1 + B1) * (d[3] + ((A1 - B1) * d[2] - A1 * B1 * d[1]));
    t[2] = (B1 - A1) * (d[3] - ((A1 + B1) * d[2] - A1 * B1 * d[1]));
    t[3] = 2 * B1 * q;
    t[4] = d[4] - A2 * d[2] - B1 * q;
  } else if (s == F2) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[3] - d[1];
  } else if (s == PAIR) {
    t[0] = d[0] + d[1];
    t[1] = d[1];
    t[2] = d[0];
  } else if (s == PIXEL) {
    t[0] = d[0];
  } else {
    NAME(transform_strided_input)(s, d, t);
  }
}

// t = A^T d: outputs
INLINE void NAME(transform_output)(scheme s, const VEC *d, VEC *t) {
  if (s == F4) {
    const VEC a = d[1] + d[2], b = d[1] - d[2], c = d[3] + d[5], e = d[3] - d[5];
    t[0] = d[0] + (a + c);
    t[1] = A1 * b + B1 * e;
    t[2] = A2 * a + B2 * c;
    t[3] = d[4] + (A3 * b + B3 * e);
  } else if (s == F3) {
    const VEC a = d[1] + d[2], b = d[1] - d[2];
    t[0] = d[0] + (a + d[3]);
    t[1] = A1 * b + B1 * d[3];
    t[2] = d[4] + (A2 * a + B2 * d[3]);
  } else if (s == STEM) {
    const VEC a = d[1] + d[2], b = d[1] - d[2], c = d[3] + d[5], e = d[3] - d[5];
    t[0] = d[0] + (a + c);
    t[1] = A1 * b + B1 * e;
    t[2] = d[4] + (A2 * a + B2 * c);
  } else if (s == F2) {
    t[0] = d[0] + (d[1] + d[2]);
    t[1] = (d[1] - d[2]) + d[3];
  } else if (s == PAIR) {
    t[0] = d[0] + d[1];
    t[1] = d[0] + d[2];
  } else if (s == PIXEL) {
    t[0] = d[0];
  } else {
    NAME(transform_strided_output)(s, d, t);
  }
}

// t = A d: gradients of outputs
INLINE void NAME(transform_gradient)(scheme s, const VEC *d, VEC *t) {
  if (s == F4) {
    const VEC a = d[0] + A2 * d[2], b = A1 * d[1] + A3 * d[3], c = d[0] + B2 * d[2], e = B1 * d[1] + B3 * d[3];
    t[0] = d[0];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = d[3];
    t[5] = c - e;
  } else if (s == F3) {
    const VEC a = d[0] + A2 * d[2];
    t[0] = d[0];
    t[1] = a + A1 * d[1];
    t[2] = a - A1 * d[1];
    t[3] = d[0] + (B1 * d[1] + B2 * d[2]);
    t[4] = d[2];
  } else if (s == STEM) {
    const VEC a = d[0] + A2 * d[2], c = d[0] + B2 * d[2];
    t[0] = d[0];
    t[1] = a + A1 * d[1];
    t[2] = a - A1 * d[1];
    t[3] = c + B1 * d[1];
    t[4] = d[2];
    t[5] = c - B1 * d[1];
  } else if (s == F2) {
    t[0] = d[0];
    t[1] = d[0] + d[1];
    t[2] = d[0] - d[1];
    t[3] = d[1];
  } else if (s == PAIR) {
    t[0] = d[0] + d[1];
    t[1] = d[0];
    t[2] = d[1];
  } else if (s == PIXEL) {
    t[0] = d[0];
  } else {
    NAME(transform_strided_gradient)(s, d, t);
  }
}

// t = G d: weights
INLINE void NAME(transform_weight)(scheme s, const VEC *d, VEC *t) {
  if (s == F4) {
    const VEC a = NA * d[0] + NA * A2 * d[2], b = NA * A1 * d[1];
    const VEC c = NB * d[0] + NB * B2 * d[2], e = NB * B1 * d[1];
    t[0] = N0 * d[0];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = d[2];
    t[5] = c - e;
  } else if (s == STEM) {
    const VEC a = NA * d[0] + NA * A2 * d[2], b = NA * A1 * d[1] + NA * A3 * d[3];
    const VEC c = NB * d[0] + NB * B2 * d[2], e = NB * B1 * d[1] + NB * B3 * d[3];
    t[0] = N0 * d[0];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = d[3];
    t[5] = c - e;
  } else if (s == F2) {
    const VEC a = .5f * (d[0] + d[2]), b = .5f * d[1];
    t[0] = d[0];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = d[2];
  } else if (s == PAIR) {
    t[0] = d[1];
    t[1] = d[2] - d[1];
    t[2] = d[0] - d[1];
  } else if (s == PIXEL) {
    t[0] = d[1];
  } else {
    NAME(transform_strided_weight)(d, t);
  }
}

// t = G^T d: gradients of weights
INLINE void NAME(transform_weight_gradient)(scheme s, const VEC *d, VEC *t) {
  if (s == F4) {
    const VEC a = d[1] + d[2], b = d[1] - d[2], c = d[3] + d[5], e = d[3] - d[5];
    t[0] = N0 * d[0] + (NA * a + NB * c);
    t[1] = NA * A1 * b + NB * B1 * e;
    t[2] = NA * A2 * a + NB * B2 * c + d[4];
  } else if (s == STEM) {
    const VEC a = d[1] + d[2], b = d[1] - d[2], c = d[3] + d[5], e = d[3] - d[5];
    t[0] = N0 * d[0] + (NA * a + NB * c);
    t[1] = NA * A1 * b + NB * B1 * e;
    t[2] = NA * A2 * a + NB * B2 * c;
    t[3] = d[4] + (NA * A3 * b + NB * B3 * e);
  } else if (s == F2) {
    const VEC a = d[1] + d[2], b = d[1] - d[2];
    t[0] = d[0] + .5f * a;
    t[1] = .5f * b;
    t[2] = .5f * a + d[3];
  } else if (s == PAIR) {
    t[0] = d[2];
    t[1] = d[0] - d[1] - d[2];
    t[2] = d[1];
  } else if (s == PIXEL) {
    t[0] = t[2] = (VEC){0};
    t[1] = d[0];
  } else {
    NAME(transform_strided_weight_gradient)(d, t);
  }
}

#undef A1
#undef A2
#undef A3
#undef B1
#undef B2
#undef B3
#undef N0
#undef NA
#undef NB
