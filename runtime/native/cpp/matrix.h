// A checked and packed matrix, and its product with rows: all that does not depend on onnxruntime.
#pragma once

#include <memory>
#include <vector>

#include "kernel.h"
#include "packing.h"

namespace edgedraft {

// The arrays as they came, with their lengths in elements; nothing about them is trusted yet.
struct RawMatrix {
  int64_t columns, depth, block_size, bits;
  const uint8_t* weights;
  int64_t weight_count;
  const float* scales;
  int64_t scale_count;
  const uint8_t* zero_points;  // null where absent
  int64_t zero_point_count;
  const float* bias;  // null where absent
  int64_t bias_count;
};

class Matrix {
 public:
  // Packs for `kernel`, or for the portable one where that does not take the shape. Throws std::invalid_argument where
  // sizes do not fit each other.
  Matrix(const Kernel& kernel, const RawMatrix& raw);
  ~Matrix();
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  const Shape& shape() const { return weights_.shape; }
  const Kernel& kernel() const { return *weights_.kernel; }
  const Weights& weights() const { return weights_; }
  int64_t panels() const { return panel_count(weights_.shape, kernel().layout); }

 private:
  Weights weights_;
  uint8_t* memory_;
  size_t bytes_;
  std::vector<float> bias_;
};

// Room for the rounded rows of one product; grows and is used again.
class ActivationBuffer {
 public:
  const Activations& prepare(const Shape& shape, int64_t rows);

 private:
  std::vector<int8_t> values_;
  std::vector<float> scales_, sums_;
  Activations activations_ = {};
};

}  // namespace edgedraft
