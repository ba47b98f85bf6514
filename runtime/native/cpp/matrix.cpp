#include "matrix.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "memory.h"

namespace edgedraft {
namespace {

void require(bool rule, const char* name, const std::string& expected, int64_t got) {
  if (rule) return;
  throw std::invalid_argument(std::string("MatMulNBits: ") + name + ": expected " + expected + ", got " +
                              std::to_string(got));
}

constexpr int64_t kMost = int64_t(1) << 31;  // keeps every product of sizes below 2^63

Shape checked_shape(const RawMatrix& raw) {
  require(raw.columns >= 1 && raw.columns < kMost, "N", "1 to 2^31 - 1", raw.columns);
  require(raw.depth >= 1 && raw.depth < kMost, "K", "1 to 2^31 - 1", raw.depth);
  require(raw.bits == 2 || raw.bits == 4 || raw.bits == 8, "bits", "2, 4 or 8", raw.bits);
  const int64_t size = raw.block_size;
  require(size >= 16 && size <= 256 && (size & (size - 1)) == 0, "block_size", "16, 32, 64, 128 or 256", size);
  return {raw.columns, raw.depth, int(size), int(raw.bits), raw.zero_points != nullptr};
}

void require_count(const char* name, int64_t got, int64_t wanted) {
  require(got == wanted, name, std::to_string(wanted) + " elements", got);
}

Shape checked(const RawMatrix& raw) {
  const Shape shape = checked_shape(raw);
  const int64_t blocks = shape.blocks();
  require(raw.weights != nullptr, "B", "a constant", 0);
  require(raw.scales != nullptr, "scales", "a constant", 0);
  require_count("B", raw.weight_count, shape.columns * blocks * shape.block_bytes());
  require_count("scales", raw.scale_count, shape.columns * blocks);
  if (raw.zero_points) {
    require_count("zero_points", raw.zero_point_count, shape.columns * ((blocks * shape.bits + 7) / 8));
  }
  if (raw.bias) require_count("bias", raw.bias_count, shape.columns);
  return shape;
}

constexpr int64_t kPanelsAtOnce = 4;

// Packs on several threads; the work is short and over before the session opens, so they need no pool.
void pack_all(const Shape& shape, const Layout& layout, const Source& source, int64_t panels, uint8_t* out) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t first = next.fetch_add(kPanelsAtOnce); first < panels; first = next.fetch_add(kPanelsAtOnce)) {
      pack_panels(shape, layout, source, first, std::min(panels, first + kPanelsAtOnce), out);
    }
  };
  const int64_t worth_a_thread = int64_t(1) << 20;
  const int64_t useful = panels * panel_bytes(shape, layout) / worth_a_thread;
  const int64_t helpers = std::min(useful, int64_t(std::thread::hardware_concurrency()) - 1);
  std::vector<std::thread> threads;
  threads.reserve(size_t(std::max(helpers, int64_t(0))));
  try {
    for (int64_t i = 0; i < helpers; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // Fewer threads than hoped for: those that there are, and this one, do the work.
  }
  work();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

Matrix::Matrix(const Kernel& kernel, const RawMatrix& raw) {
  const Shape shape = checked(raw);
  weights_ = {shape, kernel.takes(shape) ? &kernel : &kPortable, nullptr, nullptr};
  const Layout& layout = weights_.kernel->layout;
  if (raw.bias) {
    bias_.assign(size_t(panels() * layout.columns), 0.0f);
    std::copy(raw.bias, raw.bias + raw.bias_count, bias_.begin());
    weights_.bias = bias_.data();
  }
  bytes_ = size_t(panels() * panel_bytes(shape, layout));
  memory_ = take_memory(bytes_);
  pack_all(shape, layout, {raw.weights, raw.scales, raw.zero_points}, panels(), memory_);
  weights_.panels = memory_;
}

Matrix::~Matrix() { release_memory(memory_, bytes_); }

const Activations& ActivationBuffer::prepare(const Shape& shape, int64_t rows) {
  const size_t blocks = size_t(rows * shape.blocks());
  values_.resize(std::max(values_.size(), blocks * size_t(shape.block_size)));
  scales_.resize(std::max(scales_.size(), blocks));
  sums_.resize(std::max(sums_.size(), blocks));
  activations_ = {rows, values_.data(), scales_.data(), sums_.data()};
  return activations_;
}

}  // namespace edgedraft
