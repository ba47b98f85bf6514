// What the two kernels with 256-bit registers share. Included after a target pragma.
#pragma once

#include "avx_transpose.h"

namespace edgedraft {
namespace {

// 16 columns a panel in two registers.
struct Avx2Base {
  using Ints = __m256i;
  using Floats = __m256;

  static Ints load(const uint8_t* place) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place)); }
  static Ints low(Ints bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(15)); }
  static Ints high(Ints bytes) { return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15)); }
  static Ints broadcast(const int8_t* quad) {
    int32_t bytes;
    std::memcpy(&bytes, quad, sizeof bytes);
    return _mm256_set1_epi32(bytes);
  }
  static Floats all(float value) { return _mm256_set1_ps(value); }
  static Floats load_floats(const uint8_t* place) { return _mm256_loadu_ps(reinterpret_cast<const float*>(place)); }
  static Floats to_floats(Ints values) { return _mm256_cvtepi32_ps(values); }
  static Floats times(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats plus_product(Floats sum, Floats a, Floats b) { return _mm256_fmadd_ps(a, b, sum); }
  static Floats minus_product(Floats sum, Floats a, Floats b) { return _mm256_fnmadd_ps(a, b, sum); }
  static void store(float* place, Floats values) { _mm256_storeu_ps(place, values); }

  static int64_t transpose(const float* keys, int64_t width, float* into) {
    return transpose_by_8<2 * 8>(keys, width, into);
  }

  static Ints unsigned_bytes(const uint8_t* place) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(place)));
  }
  static Ints signed_bytes(const uint8_t* place) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(place)));
  }
};

}  // namespace
}  // namespace edgedraft
