// Rounding rows to int8, block by block. Included by every instruction set after its target pragma, so that the
// compiler vectorizes the same arithmetic for each; nothing here depends on the order of the elements.
#pragma once

namespace edgedraft {
namespace {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Positive floats are ordered like their bits, and integers have a maximum that needs no order. A NaN comes out highest.
inline uint32_t largest_magnitude(const float* x, int count) {
  uint32_t largest = 0;
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = bits_of(x[i]) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// Adding 1.5 * 2^23 leaves no bit for a fraction: the sum is rounded to the nearest integer, ties to even, which then
// stands in its low bits. The flag -ffp-contract=off keeps the compiler from fusing the two steps.
inline int32_t round_values(const float* x, int count, float inverse, int8_t* values) {
  const float magic = 12582912.0f;
  int32_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const float scaled = x[i] * inverse;
    const int32_t value = int32_t(bits_of(scaled + magic)) - 0x4b400000;
    values[i] = int8_t(value);
    sum += value;
  }
  return sum;
}

// Rounds `count` floats to -127..127 and fills the block with zeros. A block without a magnitude that a scale can
// express is all zeros; one that holds a NaN or an infinity makes its row NaN by its scale.
inline void quantize_block(const float* x, int count, int block_size, int8_t* values, float* scale, float* sum) {
  const uint32_t largest = largest_magnitude(x, count);
  const float magnitude = float_of(largest);
  const bool finite = largest < 0x7f800000u;
  int rounded = 0;
  *sum = 0.0f;
  if (finite && magnitude >= 1e-30f) {
    *scale = magnitude / 127.0f;
    *sum = float(round_values(x, count, 127.0f / magnitude, values));
    rounded = count;
  } else {
    *scale = finite ? 0.0f : float_of(0x7fc00000u);
  }
  std::memset(values + rounded, 0, size_t(block_size - rounded));
}

inline void quantize_rows(const Shape& shape, const float* x, int64_t first, int64_t last, const Activations& out) {
  const int64_t blocks = shape.blocks();
  for (int64_t row = first; row < last; ++row) {
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t start = block * shape.block_size;
      const int64_t left = shape.depth - start;
      const int count = left < shape.block_size ? int(left) : shape.block_size;
      const int64_t place = block * out.rows + row;
      quantize_block(x + row * shape.depth + start, count, shape.block_size, out.values + place * shape.block_size,
                     out.scales + place, out.sums + place);
    }
  }
}

}  // namespace
}  // namespace edgedraft
