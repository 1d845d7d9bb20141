#pragma once
#include <stddef.h>
#include <stdint.h>

/// Kernels in C, because Swift has no words for instructions beyond the baseline: compiled for AVX-512, for AVX2, and
/// for any processor, and chosen at run time. All run on the calling thread.

// MARK: - Reading ahead

/// Memory that other kernels will read soon. One that computes more than it reads brings it into the second-level
/// cache, bit by bit, and moves `next` on.
typedef struct {
  const char *next;
  const char *end;
} stretch;

// MARK: - Matrix products

/// Where a matrix of Floats lies: row-major, the transpose of that, or in strips of `matrix_strip` columns, the
/// last one as wide as it must be.
typedef struct {
  float *start;
  ptrdiff_t rows_apart;
  /// Other than 1 in a first factor only.
  ptrdiff_t columns_apart;
  ptrdiff_t strips_apart;
  /// `rows_apart` in a last strip that is narrower.
  ptrdiff_t last_rows_apart;
} matrix;

/// The columns of a strip, four vectors of AVX-512's or two of AVX2's.
static inline int matrix_strip(int block) { return block == 16 ? 64 : 16; }

/// Rows of a product's first factor that stay in the second-level cache while all strips of the second go by: about
/// equal blocks of heights that fill the registers. Of a perceptron's batch, 512 rows of a pass are 512 KB.
static inline ptrdiff_t matrix_rows_at_once(ptrdiff_t rows) {
  const ptrdiff_t most = 96, blocks = (rows + most - 1) / most;
  return rows <= most ? rows : ((rows + blocks - 1) / blocks + 23) / 24 * 24;
}

/// The most steps whose sum is added to c as one.
enum { MATRIX_PASS = 256 };

/// c = a b, or c += a b if it `adds`; a is [rows, steps], b [steps, columns], c [rows, columns].
///
/// Each element is added up in the order of the steps, so that it does not depend on the number of rows: a sum of
/// MATRIX_PASS of them at a time is added to c. `columns` is a multiple of `block`, 8 or 16.
void matrix_multiply(
    int block, const matrix *a, const matrix *b, const matrix *c, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t steps,
    int adds);

/// to = from^T; from is [rows, columns], to [columns, rows rounded up to whole blocks], zero where from ends. Takes the
/// rows from `first` up to `end`.
///
/// `columns` and `first` are multiples of `block`, and `end` is one or `rows`.
void matrix_transpose(
    int block, const matrix *from, const matrix *to, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t first, ptrdiff_t end);

/// Multiplies and adds `count` times 12 independent vectors of `block` Floats, in registers: the processor's peak.
/// Returns a sum that depends on all of them.
float fused_multiply_adds(int block, long count);

// MARK: - Sums and the optimizer

/// sum = a + b; sum may be a or b.
void add_floats(int block, const float *a, const float *b, float *sum, ptrdiff_t count);

/// sums = the sum of rows of x, each times the factors' row unless that is null, or sums += it if it `adds`. Rows are
/// `stride` apart, also of the factors.
void sum_rows(
    int block, const float *x, const float *factors, ptrdiff_t rows, ptrdiff_t stride, float *sums, ptrdiff_t columns,
    int adds);

/// Adds up `count` rows of `width` numbers on a stack: each row is placed on top, and as many times as `merges` says
/// for it the topmost sum is then added to the one below. What remains, from the bottom, are the rows of `sums`.
///
/// The stack is at most 64 deep.
void add_rows(const double *rows, ptrdiff_t width, const ptrdiff_t *merges, ptrdiff_t count, double *sums);

/// Lets memory come into the nearest cache.
void prefetch(const void *start, ptrdiff_t bytes);

/// y = scale * x + offset, the product rounded before the sum.
void bytes_to_floats(const uint8_t *x, float *y, ptrdiff_t count, float scale, float offset);

/// x = 1 / sqrt(x + added). `count` is a multiple of `block`.
void reciprocal_roots(int block, double *x, double added, ptrdiff_t count);

typedef struct {
  float learning_rate;
  float momentum;
  float weight_decay;
  int nesterov;
  /// Whether other cores read the parameters: they are then written past the cache, see `sgd_finish`.
  int is_shared;
} sgd_settings;

/// g = gradient + weight_decay * p,   v = momentum * v + g,
/// updated = p - learning_rate * (nesterov ? g + momentum * v : v)
///
/// `updated` may be `gradient` or `parameter`.
void sgd_update(
    int block, const sgd_settings *settings, const float *gradient, float *velocity, const float *parameter,
    float *updated, ptrdiff_t count);

/// What was written past the cache comes before what is written from now on.
void sgd_finish(void);

// MARK: - bf16

/// Rounds to the nearest bf16, ties to even, NaN to NaN; subnormal numbers become 0 where the processor has an
/// instruction for it. y = x rounded, which may be x itself, kept = y's upper halves; each unless it is null. `block`
/// is 8 or 16, as everywhere.
void bfloat16_round(int block, const float *x, float *y, uint16_t *kept, ptrdiff_t count);

/// y = the Floats whose upper halves are kept.
void bfloat16_expand(int block, const uint16_t *kept, float *y, ptrdiff_t count);

// MARK: - Convolutions

/// Winograd's minimal filtering for convolutions with 3x3 kernels and blocked activations.
///
/// An image is cut into tiles of m x m outputs; each comes of (m + 2) x (m + 2) inputs by as many multiplications per
/// pair of channels, instead of 9 m^2:
///
///     y = A^T [ (G g G^T) * (B^T x B) ] A
///
/// summed over input channels where * stands, which makes (m + 2)^2 matrix products of tiles by channels. The weight's
/// gradient is G^T [ sum over tiles of (B^T x B) * (A dy A^T) ] G. Where tiles of 4 x 4 would hang over, the last ones
/// are 3 wide or high. An image that is as small as its only tile, 2 x 2 or 1 x 1 with one row of zeros around it,
/// takes 9 products or 1. With a stride of 2 the outer taps alone are filtered, over every second input: 81
/// multiplications.
///
/// The stem, a 7x7 kernel over few plain channels with a stride of 2 and a padding of 3, is one of 4x4 over the image's
/// four phases, its even and odd rows and columns: 36 multiplications per phase and 3 x 3 outputs, 16 per output
/// instead of 49.
/// Sources: Winograd 1980, doi:10.1137/1.9781611970364; Lavin, Gray 2016, doi:10.1109/CVPR.2016.435.
///
/// Activations are [n, C/b, H, W, b], weights [K/b, C/b, 3, 3, b of C, b of K], with blocks of b channels; the stem's x
/// is [n, C, H, W] and its weight [K/b, 7, 7, C, b].

typedef struct {
  /// b, 8 or 16.
  int block;
  /// C and K, whole blocks but for the stem's inputs.
  int inputs;
  int outputs;
  int height;
  int width;
  int output_height;
  int output_width;
  /// Zeros around the input on every side, up to 2.
  int padding;
  /// 1 or 2.
  int stride;
  /// m, 2 or 4; 1 for images of one pixel; 3 for the stem. With a stride of 2 it is 4, and the padding 1.
  int tile;
  /// Whether this is the gradient's way: then inputs are the convolution's outputs, C here and K its inputs, the
  /// padding is 2 - padding, and the weight, [C/b, K/b, 3, 3, b of K, b of C] like the convolution's, is taken as its
  /// own mirror image.
  int is_transposed;
} winograd_shape;

/// Samples whose part of a sum is made apart.
typedef struct {
  /// The first one's number.
  int start;
  int samples;
  /// How often then the last of the sums that there are is added to the one before it.
  int merges;
} summand;

/// In one call, and the sums there may be at once.
enum { MOST_SUMMANDS = 16, MOST_SUMS = 4 };

/// Multiplications per sample and pair of channels.
ptrdiff_t winograd_multiplications(const winograd_shape *shape);

/// Floats of scratch memory that any pass over so many samples takes.
size_t winograd_scratch(const winograd_shape *shape, int samples);

/// y = x convolved with the weight (+ bias, unless that is null). Reads ahead what `ahead` lists, up to an empty
/// stretch.
void winograd_forward(
    const winograd_shape *shape, const float *x, const float *weight, const float *bias, float *y, int samples,
    float *scratch, stretch *ahead);

/// d_weight = x correlated with dy; d_bias = the sum of dy (unless that is null). Added to what is there if it `adds`.
///
/// The sums over several summands, whose samples must `winograd_adds_up`, are those of a call for each of them, added
/// up as they say; in the end there is one.
void winograd_backward_weights(
    const winograd_shape *shape, const float *x, const float *dy, float *d_weight, float *d_bias, int adds,
    const summand *summands, int count, float *scratch);

/// Whether gradients of several summands, of so many samples in all, can be made at once: if they take one block of
/// tiles, and not too much memory.
int winograd_adds_up(const winograd_shape *shape, int samples);

// MARK: - Convolutions of bf16 numbers

/// Where an activation or a gradient of one is, [n, C/b, P, b]: as Floats, or as the upper halves of Floats, which are
/// bf16 numbers; batch norm's passes write both unless one is null.
typedef struct {
  float *floats;
  uint16_t *halves;
} activation;

/// Convolutions by AMX, whose instructions multiply tiles of 16 rows of bf16 numbers and add the products up in Floats.
///
/// Activations are [n, C/16, H, W, 16], bf16 numbers as Floats or as halves; results are Floats, or rounded to halves.
/// A forward pass takes weights as bf16 numbers [K/16, C/d, R, S, d/2, 16 of K, 2 of C], a backward pass
/// [K/d, C/16, R, S, d/2, 16 of C, 2 of K], where d = 32, or 16 if the channels are no multiple of 32; gradients of
/// weights are Floats, [K/16, C/16, R, S, 16 of C, 16 of K].
/// Source: Intel Architecture Instruction Set Extensions Programming Reference, chapter 3.

/// The most taps along one side of a kernel.
enum { AMX_TAPS = 16 };

typedef struct {
  /// C and K, whole blocks of 16.
  int inputs;
  int outputs;
  int height;
  int width;
  int output_height;
  int output_width;
  /// R and S, at most AMX_TAPS.
  int kernel_height;
  int kernel_width;
  int stride;
  int padding;
} amx_shape;

/// Asks the system for this processor's tiles; whether there are any.
int amx_request(void);

/// Bytes of scratch memory that any pass over so many samples takes.
size_t amx_scratch(const amx_shape *shape, int samples);

/// y = x convolved with the weight (+ bias, unless that is null).
void amx_forward(
    const amx_shape *shape, activation x, const uint16_t *weight, const float *bias, activation y, int samples,
    void *scratch);

/// dx = the transposed convolution of dy with the weight.
void amx_backward_data(
    const amx_shape *shape, activation dy, const uint16_t *weight, activation dx, int samples, void *scratch);

/// d_weight = x correlated with dy; d_bias = the sum of dy (unless that is null). Added to what is there if it `adds`.
void amx_backward_weights(
    const amx_shape *shape, activation x, activation dy, float *d_weight, float *d_bias, int adds, int samples,
    void *scratch);

// MARK: - Max pooling

/// Activations are [n, C/b, H, W, b].
typedef struct {
  /// b, 8 or 16.
  int block;
  /// C, whole blocks.
  int channels;
  int height;
  int width;
  int output_height;
  int output_width;
  int kernel_height;
  int kernel_width;
  int stride;
  /// What a window may hang over the image on every side, at most half of it.
  int padding;
} pooling_shape;

/// y = the largest element of each window; NaN if there is one.
void max_pooling_forward(const pooling_shape *shape, const float *x, float *y, int samples);

/// dx = dy where a window's largest element was, the first of equals, found again by comparing.
void max_pooling_backward(
    const pooling_shape *shape, const float *x, const float *y, const float *dy, float *dx, int samples);

// MARK: - Activation functions

/// max(x, 0), 1 / (1 + exp(-x)), tanh(x); of numbers that are not, they are not.
typedef enum { NO_FUNCTION, RELU, SIGMOID, TANH } activation_function;

/// y = f(x)
void activation_forward(int block, activation_function function, const float *x, float *y, ptrdiff_t count);

/// dx = dy * f'(y), the derivative in terms of the result: [y > 0], y (1 - y), 1 - y^2. dx may be dy.
void activation_backward(
    int block, activation_function function, const float *dy, const float *y, float *dx, ptrdiff_t count);

/// y = exp(x - largest), unless that is null; returns the sum. No x is larger than `largest`.
double exponentials(int block, const float *x, float largest, float *y, ptrdiff_t count);

// MARK: - Normalization

/// Coefficients are [C].
typedef struct {
  /// b, 8 or 16.
  int block;
  /// C, whole blocks, and those of them that are not padding.
  int channels;
  int used;
  /// P, pixels.
  int positions;
} norm_shape;

/// Adds sum(x) and sum(x^2) of every channel to the two rows of `sums`, [2, C]. x is Floats or halves; if it is both,
/// the Floats are rounded to bf16 first, and put where the halves are.
///
/// The squares are taken about a shift, the block's first element, so that they do not cancel when the mean is far
/// larger than the deviation; with d = x - shift and n elements,
///
///     sum(x) = sum(d) + n shift,   sum(x^2) = sum(d^2) + 2 shift sum(d) + n shift^2,
///
/// the right-hand sides in Double. Source: Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115, section 3.
void channel_moments(const norm_shape *shape, activation x, int samples, double *sums);

/// dz = dy * f'(y), f' of the function that follows (1 if y is null), and adds sum(dz) and sum(dz (x - mean)) of every
/// channel to the two rows of `sums`. dz may be dy; dz_again is a second copy of it, unless it is null. If x is halves,
/// dy is rounded to bf16 first.
void channel_gradient_sums(
    const norm_shape *shape, activation_function function, activation dy, activation y, activation x,
    const float *mean, activation dz, activation dz_again, int samples, double *sums);

/// y = f((x - mean) * scale + bias (+ residual, unless that is null)), and 0 where channels are padding. If x is
/// halves, y is rounded to bf16; if x is Floats, so is y.
void normalize_forward(
    const norm_shape *shape, activation_function function, activation x, const float *mean, const float *scale,
    const float *bias, activation residual, activation y, int samples);

/// dx = scale * (dz - shift - (x - mean) * slope) if it scales last, else scale * dz - shift - (x - mean) * slope. dx
/// may be dz. x and dz are both Floats, or both halves; then dx is rounded to bf16, as Floats or halves.
void normalize_backward(
    const norm_shape *shape, activation dz, activation x, const float *mean, const float *scale, const float *shift,
    const float *slope, int scales_last, activation dx, int samples);

// MARK: - Normalization and max pooling

/// Of a window none of whose elements passes a gradient on; windows have fewer elements.
enum { NO_ELEMENT = 255 };

/// y = the largest element of each window of (x - mean) * scale + bias, and max(y, 0) if it rectifies. If x is halves,
/// y is rounded to bf16.
///
/// largest_at: [n, C/b, H', W', b], unless it is null: the number of that element within the window, row by row, the
/// first of equals; NO_ELEMENT if it was not positive and is rectified.
void normalize_and_pool(
    const pooling_shape *shape, activation x, const float *mean, const float *scale, const float *bias, int rectifies,
    activation y, uint8_t *largest_at, int samples);

/// dz = the sum of dy over the windows whose largest element is here, and adds sum(dz) and sum(dz (x - mean)) of every
/// channel to the two rows of `sums`. If x is halves, dy and dz are rounded to bf16.
void pooled_gradient_sums(
    const pooling_shape *shape, activation dy, const uint8_t *largest_at, activation x, const float *mean,
    activation dz, int samples, double *sums);
