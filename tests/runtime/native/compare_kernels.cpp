// Compares every kernel that runs here with the portable one, bit for bit, over random shapes; each row also alone, and
// refusals. A program of its own, so that it runs under sanitizers and under an emulator of another processor.
//
//     compare_kernels SHAPES SEED
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "matrix.h"

using namespace edgedraft;

namespace {

std::mt19937 generator;

int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }
float real() { return std::normal_distribution<float>()(generator); }

// Exact lengths on the heap: a sanitizer sees every read beyond them.
struct Case {
  std::vector<uint8_t> weights, zero_points;
  std::vector<float> scales, bias, x;
  RawMatrix raw = {};
  int64_t rows = 0;
};

float activation() {
  const int64_t kind = between(0, 2000);
  if (kind == 0) return INFINITY;
  if (kind == 1) return NAN;
  if (kind < 10) return 1e-38f * real();
  return kind < 20 ? 1e30f * real() : real();
}

Case random_case(bool with_two_bits) {
  Case c;
  const int64_t bits = with_two_bits ? between(0, 2) : between(1, 2);
  c.raw.bits = int64_t(2) << bits;
  c.raw.block_size = int64_t(16) << between(0, 4);
  c.raw.columns = between(1, 70);
  c.raw.depth = between(1, 3 * c.raw.block_size + 20);
  c.rows = between(1, 17);
  const int64_t blocks = (c.raw.depth + c.raw.block_size - 1) / c.raw.block_size;
  c.weights.resize(size_t(c.raw.columns * blocks * c.raw.block_size * c.raw.bits / 8));
  c.scales.resize(size_t(c.raw.columns * blocks));
  if (between(0, 1)) c.zero_points.resize(size_t(c.raw.columns * ((blocks * c.raw.bits + 7) / 8)));
  if (between(0, 1)) c.bias.resize(size_t(c.raw.columns));
  c.x.resize(size_t(c.rows * c.raw.depth));
  const bool extreme = between(0, 9) == 0;  // the largest sums that there can be
  for (auto& value : c.weights) value = extreme ? 255 : uint8_t(between(0, 255));
  for (auto& value : c.zero_points) value = extreme ? 0 : uint8_t(between(0, 255));
  for (auto& value : c.scales) value = 0.01f * real();
  for (auto& value : c.bias) value = real();
  for (auto& value : c.x) value = extreme ? 1.0f : activation();
  return c;
}

RawMatrix pointed(const Case& c) {
  RawMatrix raw = c.raw;
  raw.weights = c.weights.data(), raw.weight_count = int64_t(c.weights.size());
  raw.scales = c.scales.data(), raw.scale_count = int64_t(c.scales.size());
  if (!c.zero_points.empty()) raw.zero_points = c.zero_points.data();
  raw.zero_point_count = int64_t(c.zero_points.size());
  if (!c.bias.empty()) raw.bias = c.bias.data();
  raw.bias_count = int64_t(c.bias.size());
  return raw;
}

std::vector<float> product(const Kernel& kernel, const Case& c, int64_t first, int64_t rows) {
  const Matrix matrix(kernel, pointed(c));
  ActivationBuffer buffer;
  const std::vector<float> x(c.x.begin() + first * c.raw.depth, c.x.begin() + (first + rows) * c.raw.depth);
  std::vector<float> y(size_t(rows * c.raw.columns));
  const Activations& activations = buffer.prepare(matrix.shape(), rows);
  matrix.kernel().quantize(matrix.shape(), x.data(), 0, rows, activations);
  matrix.kernel().multiply(matrix.weights(), activations, 0, matrix.panels(), y.data());
  return y;
}

// All NaNs are one value here: which of their bits an instruction sets is not ours to say.
bool same(const float* a, const float* b, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::memcmp(a + i, b + i, sizeof(float)) != 0) return false;
  }
  return true;
}

void fail(const char* rule, const Kernel& kernel, const Case& c) {
  std::printf("%s: %s: N %d K %d bits %d block %d rows %d\n", rule, kernel.name, int(c.raw.columns), int(c.raw.depth),
              int(c.raw.bits), int(c.raw.block_size), int(c.rows));
  std::exit(1);
}

void compare(const Kernel& kernel) {
  const Case c = random_case(false);
  const std::vector<float> expected = product(kPortable, c, 0, c.rows), y = product(kernel, c, 0, c.rows);
  if (!same(expected.data(), y.data(), y.size())) fail("differs from the portable kernel", kernel, c);
  const int64_t row = between(0, c.rows - 1);
  const std::vector<float> alone = product(kernel, c, row, 1);
  if (!same(alone.data(), y.data() + row * c.raw.columns, alone.size())) fail("depends on neighbours", kernel, c);
}

// A matrix whose arrays are shorter than its sizes say, or whose sizes are nonsense.
void refuse(const Kernel& kernel) {
  const Case c = random_case(true);
  RawMatrix raw = pointed(c);
  switch (between(0, 6)) {
    case 0: raw.columns += between(1, 5); break;
    case 1: raw.depth += raw.block_size; break;
    case 2: raw.scale_count -= 1; break;
    case 3: raw.weight_count -= 1; break;
    case 4: raw.block_size = between(0, 15); break;
    case 5: raw.bits = 3; break;
    default: raw.columns = -raw.columns;
  }
  try {
    const Matrix matrix(kernel, raw);
  } catch (const std::invalid_argument&) {
    return;
  }
  fail("took a matrix that is none", kernel, c);
}

// A text of several rows behind others; its arrays have exact lengths on the heap.
struct Text {
  AttentionShape shape = {};
  int64_t begin = 0;
  std::vector<float> rows, cosines, sines, keys, values;

  int64_t row_floats() const { return (shape.heads + 2 * shape.key_heads) * shape.width; }
};

Text random_text() {
  Text text;
  AttentionShape& shape = text.shape;
  shape.batch = 1, shape.rows = between(1, 20), shape.key_heads = between(1, 3);
  shape.heads = shape.key_heads * between(1, 9), shape.width = between(1, 70);
  shape.rotary_half = between(0, shape.width / 2), shape.interleaved = between(0, 1) != 0;
  shape.scale = 1.0f / std::sqrt(float(shape.width));
  text.begin = between(0, 1) ? between(0, 90) : 0;
  shape.capacity = text.begin + shape.rows + between(0, 9);
  text.rows.resize(size_t(shape.rows * text.row_floats()));
  text.cosines.resize(size_t(shape.rotary_half * (text.begin + shape.rows)));
  text.sines.resize(text.cosines.size());
  text.keys.resize(size_t(shape.key_heads * shape.capacity * shape.width));
  text.values.resize(text.keys.size());
  const float size = between(0, 9) ? 1.0f : 1e4f;  // of scores that exp cannot tell apart, too
  for (auto* each : {&text.rows, &text.cosines, &text.sines, &text.keys, &text.values}) {
    for (auto& value : *each) value = size * real();
  }
  return text;
}

// Rows from `first` to before `last`, whose predecessors stand in `text.keys` already.
std::vector<float> attended(const Kernel& kernel, Text& text, int64_t first, int64_t last, int64_t chunk_rows) {
  AttentionJob job = {};
  job.shape = text.shape;
  job.shape.rows = last - first;
  const int64_t heads = job.shape.heads, width = job.shape.width, begin = text.begin + first;
  std::vector<int64_t> positions;
  for (int64_t row = first; row < last; ++row) positions.push_back(text.begin + row);
  const std::vector<float> rows(text.rows.begin() + first * text.row_floats(),
                                text.rows.begin() + last * text.row_floats());
  std::vector<float> rotated(size_t(job.shape.rows * heads * width)), output(rotated.size());
  job.query = rows.data(), job.key = job.query + heads * width, job.value = job.key + job.shape.key_heads * width;
  job.query_stride = job.key_stride = job.value_stride = text.row_floats();
  job.cosines = text.cosines.data(), job.sines = text.sines.data(), job.positions = positions.data();
  job.begins = &begin, job.keys = text.keys.data(), job.values = text.values.data();
  job.rotated = rotated.data(), job.output = output.data(), job.chunk_rows = chunk_rows;
  kernel.attention.prepare(job, 0, job.shape.rows);
  kernel.attention.attend(job, 0, job.attend_items());
  return output;
}

void compare_attention(const Kernel& kernel) {
  Text text = random_text(), again = text;
  const int64_t rows = text.shape.rows, row_floats = text.shape.heads * text.shape.width;
  const std::vector<float> expected = attended(kPortable, text, 0, rows, rows);
  std::vector<float> y;
  for (int64_t first = 0; first < rows;) {
    const int64_t last = between(first + 1, rows);
    const std::vector<float> piece = attended(kernel, again, first, last, between(1, 5));
    y.insert(y.end(), piece.begin(), piece.end());
    first = last;
  }
  if (same(expected.data(), y.data(), size_t(rows * row_floats))) return;
  std::printf("attention differs: %s: heads %d of %d width %d rows %d behind %d\n", kernel.name, int(text.shape.heads),
              int(text.shape.key_heads), int(text.shape.width), int(rows), int(text.begin));
  std::exit(1);
}

}  // namespace

int main(int count, char** arguments) {
  const int shapes = count > 1 ? std::atoi(arguments[1]) : 100;
  generator.seed(count > 2 ? unsigned(std::atoi(arguments[2])) : 1);
  for (const Kernel* const* kernel = kKernels; *kernel; ++kernel) {
    const bool here = (*kernel)->runs_here();
    for (int i = 0; here && i < shapes; ++i) {
      compare(**kernel), refuse(**kernel);
      if (i % 10 == 0) compare_attention(**kernel);  // a text of many passes takes as long as ten products
    }
    std::printf("%s: %s\n", (*kernel)->name, here ? "equal" : "not run: this CPU lacks it");
  }
  return 0;
}
