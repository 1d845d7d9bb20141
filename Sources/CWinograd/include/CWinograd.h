#pragma once
#include <stddef.h>

/// Winograd's minimal filtering for convolutions with 3x3 kernels, stride 1, on blocked activations; one thread.
///
/// An image is cut into tiles of m x m outputs; each comes of (m + 2) x (m + 2) inputs by as many multiplications per pair
/// of channels, instead of 9 m^2:
///
///     y = A^T [ (G g G^T) * (B^T x B) ] A
///
/// summed over input channels where * stands, which makes (m + 2)^2 matrix products of tiles by channels. The weight's
/// gradient is G^T [ sum over tiles of (B^T x B) * (A dy A^T) ] G.
/// Sources: Winograd 1980, doi:10.1137/1.9781611970364; Lavin, Gray 2016, doi:10.1109/CVPR.2016.435.
///
/// Activations are [n, C/b, H, W, b], weights [K/b, C/b, 3, 3, b of C, b of K], with blocks of b channels.

typedef struct {
  /// b, 8 or 16.
  int block;
  /// C and K, whole blocks.
  int inputs;
  int outputs;
  int height;
  int width;
  int output_height;
  int output_width;
  /// Zeros around the input on every side, up to 2.
  int padding;
  /// m, 2 or 4.
  int tile;
} winograd_shape;

/// Whether the processor has the instructions for such blocks: AVX2 and FMA for 8 channels, AVX-512 for 16.
int winograd_supports(int block);

/// Floats of scratch memory that any pass over so many samples takes.
size_t winograd_scratch(const winograd_shape *shape, int samples);

/// y = x convolved with the weight (+ bias, unless that is null).
///
/// If `transposed`, the shape describes the gradient's way: its inputs are the convolution's outputs, its padding is
/// 2 - padding, and the weight is [inputs/b, outputs/b, 3, 3, b of inputs, b of outputs], taken as its own mirror image.
void winograd_forward(
    const winograd_shape *shape, const float *x, const float *weight, int transposed, const float *bias, float *y,
    int samples, float *scratch);

/// d_weight = x correlated with dy; d_bias = the sum of dy (unless that is null).
void winograd_backward_weights(
    const winograd_shape *shape, const float *x, const float *dy, float *d_weight, float *d_bias, int samples,
    float *scratch);
