// What a kernel is, and the numbers that every kernel must yield.
//
// y[row][column] begins as the bias, or 0. For each block of K, in rising order, one rounded step is added:
//
//     y = fma(float(sum of (weight - zero_point) * q), weight_scale * x_scale, y)
//
// q is the row's block rounded to int8 (see quantize.h). The sum is an exact integer below 2^24, so it has one value
// whatever the order of its terms, and float holds it. All that is rounded is x_scale, the product of the scales and the
// fma, in an order that no instruction set, number of rows or number of threads changes: all kernels give the same bits.
#pragma once

#include <cstdint>

#include "attention.h"

namespace edgedraft {

// A matrix as MatMulNBits describes it: `columns` is its N, `depth` its K, cut into blocks along K.
struct Shape {
  int64_t columns;
  int64_t depth;
  int block_size;
  int bits;
  bool zero_points;

  int64_t blocks() const { return (depth + block_size - 1) / block_size; }
  int64_t block_bytes() const { return int64_t(block_size) * bits / 8; }
  int default_zero_point() const { return 1 << (bits - 1); }
};

// How a kernel wants the weights: panels of columns; in a register, `lanes` columns with `run` neighbouring k each.
struct Layout {
  int columns;        // of a panel
  int lanes;          // columns in a register
  int run;            // neighbouring k of a column in a register
  bool signed_bytes;  // 8-bit weights and zero points have 128 subtracted
};

// Rows rounded to int8. Each array is ordered by block, then row.
struct Activations {
  int64_t rows;
  int8_t* values;  // block_size a row and block
  float* scales;   // one a row and block
  float* sums;     // of the values, one a row and block
};

struct Kernel;

struct Weights {
  Shape shape;
  const Kernel* kernel;
  const uint8_t* panels;  // see packing.h
  const float* bias;      // padded to whole panels; null where there is none
};

struct Kernel {
  const char* name;
  Layout layout;
  bool (*runs_here)();
  bool (*takes)(const Shape&);
  // Rounds the rows from `first` to before `last` of x; `x` is the whole input, row by row.
  void (*quantize)(const Shape&, const float* x, int64_t first, int64_t last, const Activations&);
  // Writes the columns of the panels from `first` to before `last`, for all rows; y has `columns` floats a row.
  void (*multiply)(const Weights&, const Activations&, int64_t first, int64_t last, float* y);
  AttentionKernel attention;
};

// The kernels that were compiled, the best first; the last is the portable one. Ends with null.
extern const Kernel* const kKernels[];

extern const Kernel kPortable;

// The kernel of that name, or null.
const Kernel* kernel_named(const char* name);

// The kernel for sessions that this thread opens: the preferred one, else that of EDGEDRAFT_KERNELS, else the CPU's best;
// null for onnxruntime's own. Throws std::invalid_argument where the name is unknown or cannot run here.
const Kernel* chosen_kernel();

// Sets this thread's preference: a kernel's name, "auto", "stock", or "" for none.
void prefer_kernel(const char* name);

// The shapes that the kernels with vector instructions take.
inline bool is_common(const Shape& shape) { return shape.bits == 4 || shape.bits == 8; }

}  // namespace edgedraft
