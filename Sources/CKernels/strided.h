// The transforms of one dimension for a stride of 2.
//
// Outer taps meet every second input, as F(m, 2) at +-a, b, infinity and -b, a = 1/2, b = 5/4, made like F(4, 3); for
// three outputs without -b. The middle tap meets the inputs between, which are taken as they are. Points lie in the
// order a, -a, b, infinity, three of the middle tap, -b and its fourth. B^T and G have the opposite signs at -a and -b.

#define A1 0.5f
#define A2 (A1 * A1)
#define A3 (A1 * A2)
#define B1 1.25f
#define B2 (B1 * B1)
#define B3 (B1 * B2)
#define NA (1 / (2 * A1 * (A2 - B2)))
#define NB (1 / (2 * B1 * (B2 - A2)))

INLINE void NAME(transform_strided_input)(scheme s, const VEC *d, VEC *t) {
  // On the way back both meet the same gradients.
  const int step = facts_of[s].input_step;
  const VEC *const middle = d + step - 1, d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
  UNROLL for (int i = 0; i < 3; i++) t[4 + i] = middle[i * step];
  if (facts_of[s].places == 4) {
    const VEC p = d3 - B2 * d1, q = d2 - B2 * d0, r = d3 - A2 * d1, v = d2 - A2 * d0;
    t[0] = A1 * q + p;
    t[1] = A1 * q - p;
    t[2] = B1 * v + r;
    t[3] = A2 * B2 * d0 + (d[4 * step] - (A2 + B2) * d2);
    t[7] = B1 * v - r;
    t[8] = middle[3 * step];
  } else {
    const VEC p = d2 - A2 * d0, q = d3 - A2 * d1;
    t[0] = (A1 + B1) * (d2 + ((A1 - B1) * d1 - A1 * B1 * d0));
    t[1] = (A1 - B1) * (d2 - ((A1 + B1) * d1 - A1 * B1 * d0));
    t[2] = 2 * B1 * p;
    t[3] = q - B1 * p;
  }
}

INLINE void NAME(transform_strided_output)(scheme s, const VEC *d, VEC *t) {
  const int places = facts_of[s].places, is_up = facts_of[s].output_step == 2;
  const VEC a = d[0] + d[1], b = d[0] - d[1];
  VEC outer[4];
  if (places == 4) {
    const VEC c = d[2] + d[7], e = d[2] - d[7];
    outer[0] = a + c;
    outer[1] = A1 * b + B1 * e;
    outer[2] = A2 * a + B2 * c;
    outer[3] = d[3] + (A3 * b + B3 * e);
  } else {
    outer[0] = a + d[2];
    outer[1] = A1 * b + B1 * d[2];
    outer[2] = d[3] + (A2 * a + B2 * d[2]);
  }
  UNROLL for (int i = 0; i < places; i++) {
    const VEC middle = d[i < 3 ? 4 + i : 8];
    if (is_up) {
      t[2 * i] = middle;
      t[2 * i + 1] = outer[i];
    } else {
      t[i] = outer[i] + middle;
    }
  }
}

INLINE void NAME(transform_strided_gradient)(scheme s, const VEC *d, VEC *t) {
  UNROLL for (int i = 0; i < 3; i++) t[4 + i] = d[i];
  const VEC a = d[0] + A2 * d[2], c = d[0] + B2 * d[2];
  if (facts_of[s].places == 4) {
    const VEC b = A1 * d[1] + A3 * d[3], e = B1 * d[1] + B3 * d[3];
    t[0] = a + b;
    t[1] = a - b;
    t[2] = c + e;
    t[3] = d[3];
    t[7] = c - e;
    t[8] = d[3];
  } else {
    t[0] = a + A1 * d[1];
    t[1] = a - A1 * d[1];
    t[2] = c + B1 * d[1];
    t[3] = d[2];
  }
}

// Points a, -a, b, infinity, the middle tap, -b.
INLINE void NAME(transform_strided_weight)(const VEC *d, VEC *t) {
  t[0] = NA * d[0] + NA * A1 * d[2];
  t[1] = NA * d[0] - NA * A1 * d[2];
  t[2] = NB * d[0] + NB * B1 * d[2];
  t[3] = d[2];
  t[4] = d[1];
  t[5] = NB * d[0] - NB * B1 * d[2];
}

INLINE void NAME(transform_strided_weight_gradient)(const VEC *d, VEC *t) {
  t[0] = NA * (d[0] + d[1]) + NB * (d[2] + d[5]);
  t[1] = d[4];
  t[2] = d[3] + (NA * A1 * (d[0] - d[1]) + NB * B1 * (d[2] - d[5]));
}

#undef A1
#undef A2
#undef A3
#undef B1
#undef B2
#undef B3
#undef NA
#undef NB
