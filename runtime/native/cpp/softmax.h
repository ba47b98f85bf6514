// Weights from scores. Included by every instruction set after its target pragma, so that the compiler vectorizes the
// same arithmetic for each: loops over kSums elements are registers.
#pragma once

namespace edgedraft {
namespace {

// exp(x) for x <= 0, within 2 units in the last place; less than 1e-37 below -87. A NaN stays one.
inline float exp_of(float x) {
  const float low = x < -87.0f ? -87.0f : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which stands in the low bits
  const float shifted = low * 1.44269504f + magic;
  const float n = shifted - magic;
  const float r = (low - n * 0.693359375f) - n * -2.12194440e-4f;  // the first product is exact
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  return y * float_of((bits_of(shifted) + 127u) << 23);
}

inline float largest_of(const float* scores, int64_t padded) {
  float top[kSums];
  for (int p = 0; p < kSums; ++p) top[p] = scores[p];
  for (int64_t j = kSums; j < padded; j += kSums) {
    for (int p = 0; p < kSums; ++p) top[p] = scores[j + p] > top[p] ? scores[j + p] : top[p];
  }
  float largest = top[0];
  for (int p = 1; p < kSums; ++p) largest = top[p] > largest ? top[p] : largest;
  return largest;
}

// Turns `count` scores into weights and returns 1 / their sum. There is space up to the next multiple of kSums.
inline float weights_from(float* scores, int64_t count) {
  const int64_t padded = (count + kSums - 1) / kSums * kSums;
  for (int64_t j = count; j < padded; ++j) scores[j] = scores[0];
  const float largest = largest_of(scores, padded);
  for (int64_t j = 0; j < padded; ++j) scores[j] = exp_of(scores[j] - largest);
  for (int64_t j = count; j < padded; ++j) scores[j] = 0.0f;
  float sums[kSums] = {};
  for (int64_t j = 0; j < padded; j += kSums) {
    for (int p = 0; p < kSums; ++p) sums[p] += scores[j + p];
  }
  for (int half = kSums / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) sums[p] += sums[p + half];
  }
  return 1.0f / sums[0];
}

}  // namespace
}  // namespace edgedraft
