// AVX-512 with VNNI: 32 columns a panel in two registers, up to 8 rows.
#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cpu.h"
#include "kernel.h"
#include "packing.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vnni")
#endif

#include "avx_transpose.h"
#include "panel.h"
#include "quantize.h"

#include "attend.h"

namespace edgedraft {
namespace {

struct Avx512Vnni {
  using Ints = __m512i;
  using Floats = __m512;
  static constexpr Layout layout = {32, 16, 4, false};
  static constexpr int most_rows = 8;

  static Ints load(const uint8_t* place) { return _mm512_loadu_si512(place); }
  static Ints low(Ints bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi8(15)); }
  static Ints high(Ints bytes) { return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15)); }
  static Ints broadcast(const int8_t* quad) {
    int32_t bytes;
    std::memcpy(&bytes, quad, sizeof bytes);
    return _mm512_set1_epi32(bytes);
  }
  static Ints dot(Ints sum, Ints weights, Ints x) { return _mm512_dpbusd_epi32(sum, weights, x); }
  static Floats all(float value) { return _mm512_set1_ps(value); }
  static Floats load_floats(const uint8_t* place) { return _mm512_loadu_ps(place); }
  static Floats to_floats(Ints values) { return _mm512_cvtepi32_ps(values); }
  static Floats times(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats plus_product(Floats sum, Floats a, Floats b) { return _mm512_fmadd_ps(a, b, sum); }
  static Floats minus_product(Floats sum, Floats a, Floats b) { return _mm512_fnmadd_ps(a, b, sum); }
  static void store(float* place, Floats values) { _mm512_storeu_ps(place, values); }

  static int64_t transpose(const float* keys, int64_t width, float* into) {
    return transpose_by_8<2 * 16>(keys, width, into);
  }

  template <int Bits>
  static Floats zero_points(const uint8_t* place) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(place))));
  }
  template <int Bits, int Rows>
  static void block_sums(const uint8_t* weights, const int8_t* x, int block_size, Ints (&sums)[Rows][2]) {
    quad_sums<Avx512Vnni, Bits, Rows>(weights, x, block_size, sums);
  }
};

}  // namespace

extern const Kernel kAvx512Vnni;
const Kernel kAvx512Vnni = {
    "avx512vnni", Avx512Vnni::layout, cpu_has_avx512vnni, is_common, quantize_rows, multiply<Avx512Vnni>,
    {prepare_rows, attend<Avx512Vnni>},
};

}  // namespace edgedraft

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
