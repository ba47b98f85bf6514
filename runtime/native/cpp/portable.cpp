// Plain C++ for any CPU, and for what the other kernels do not take (2-bit weights). It is the reference: it states the
// numbers of kernel.h one by one, and its panels are single columns in MatMulNBits's own order.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernel.h"
#include "packing.h"
#include "panel.h"
#include "quantize.h"

#include "attend.h"

namespace edgedraft {
namespace {

constexpr Layout kColumn = {1, 1, 1, false};

int32_t weight_at(const uint8_t* bytes, int bits, int k) {
  const int in_byte = 8 / bits;
  return bytes[k / in_byte] >> (bits * (k % in_byte)) & ((1 << bits) - 1);
}

int32_t block_sum(const Shape& shape, const uint8_t* weights, int zero_point, const int8_t* x) {
  int32_t sum = 0;
  for (int k = 0; k < shape.block_size; ++k) sum += (weight_at(weights, shape.bits, k) - zero_point) * x[k];
  return sum;
}

float column_total(const Weights& w, const Activations& x, int64_t column, int64_t row) {
  const Shape& shape = w.shape;
  const int64_t blocks = shape.blocks(), block_bytes = packed_block_bytes(shape, kColumn);
  const uint8_t* panel = w.panels + column * panel_bytes(shape, kColumn);
  const uint8_t* zero_points = panel + blocks * block_bytes;
  float total = w.bias ? w.bias[column] : 0.0f;
  for (int64_t block = 0; block < blocks; ++block) {
    const uint8_t* weights = panel + block * block_bytes;
    const int64_t place = block * x.rows + row;
    const int zero_point = shape.zero_points ? zero_points[block] : shape.default_zero_point();
    const int32_t sum = block_sum(shape, weights, zero_point, x.values + place * shape.block_size);
    float scale;
    std::memcpy(&scale, weights + shape.block_bytes(), sizeof scale);
    const float product = scale * x.scales[place];
    total = std::fma(float(sum), product, total);
  }
  return total;
}

void multiply_columns(const Weights& w, const Activations& x, int64_t first, int64_t last, float* y) {
  for (int64_t column = first; column < last; ++column) {
    for (int64_t row = 0; row < x.rows; ++row) y[row * w.shape.columns + column] = column_total(w, x, column, row);
  }
}

struct Single {
  using Floats = float;

  static float all(float value) { return value; }
  static float load_floats(const uint8_t* place) {
    float value;
    std::memcpy(&value, place, sizeof value);
    return value;
  }
  static float times(float a, float b) { return a * b; }
  static float plus_product(float sum, float a, float b) { return std::fma(a, b, sum); }
  static void store(float* place, float value) { *place = value; }
  static int64_t transpose(const float*, int64_t, float*) { return 0; }
};

bool always() { return true; }
bool takes_all(const Shape&) { return true; }

}  // namespace

const Kernel kPortable = {"portable", kColumn, always, takes_all, quantize_rows, multiply_columns,
                           {prepare_rows, attend<Single>}};

}  // namespace edgedraft
