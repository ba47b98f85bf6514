// Laying keys beside each other with 256-bit registers. Included after a target pragma.
#pragma once

namespace edgedraft {
namespace {

// Writes column i of 8 x 8 numbers, whose rows are `width` apart, to `into + i * columns`.
inline void transpose_8x8(const float* rows, int64_t width, float* into, int64_t columns) {
  __m256 r[8], pairs[8], quads[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows + i * width);
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(into + i * columns, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20));
    _mm256_storeu_ps(into + (i + 4) * columns, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31));
  }
}

template <int Columns>
int64_t transpose_by_8(const float* keys, int64_t width, float* into) {
  const int64_t done = width / 8 * 8;
  for (int64_t i = 0; i < done; i += 8) {
    for (int j = 0; j < Columns; j += 8) transpose_8x8(keys + j * width + i, width, into + i * Columns + j, Columns);
  }
  return done;
}

}  // namespace
}  // namespace edgedraft
