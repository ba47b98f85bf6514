// AVX2 without VNNI: 16 columns a panel in two registers, up to 3 rows.
//
// vpmaddubsw multiplies unsigned by signed bytes and adds neighbouring products in 16 bits, where it saturates: the
// largest pair must stay below 2^15. 4-bit weights cannot reach it: 2 * 15 * 127 = 3810. Unsigned 8-bit weights would
// (2 * 255 * 127), so they are packed as signed bytes and multiplied as |weight| * (sign of weight) q: at most
// 2 * 128 * 127 = 32512.
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
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma")
#endif

#include "avx2_common.h"
#include "panel.h"
#include "quantize.h"

#include "attend.h"

namespace edgedraft {
namespace {

struct Avx2 : Avx2Base {
  static constexpr Layout layout = {16, 8, 4, true};
  static constexpr int most_rows = 3;

  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints widen(Ints pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

  // Of 8-bit weights; 4-bit ones have `nibble_sums`.
  static Ints dot(Ints sum, Ints weights, Ints x) {
    return add(sum, widen(_mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))));
  }

  template <int Bits>
  static Floats zero_points(const uint8_t* place) {
    return to_floats(Bits == 8 ? signed_bytes(place) : unsigned_bytes(place));
  }
  template <int Bits, int Rows>
  static void block_sums(const uint8_t* weights, const int8_t* x, int block_size, Ints (&sums)[Rows][2]) {
    if constexpr (Bits == 8) {
      quad_sums<Avx2, Bits, Rows>(weights, x, block_size, sums);
    } else {
      nibble_sums<Rows>(weights, x, block_size, sums);
    }
  }

  // Four steps of eight k are summed in 16 bits before they are widened: 8 * 3810 = 30480 still fits.
  template <int Rows>
  static void nibble_sums(const uint8_t* weights, const int8_t* x, int block_size, Ints (&sums)[Rows][2]) {
    EDGEDRAFT_UNROLL
    for (int row = 0; row < Rows; ++row) sums[row][0] = sums[row][1] = _mm256_setzero_si256();
    for (int start = 0; start < block_size; start += 32) {
      Ints pairs[Rows][2] = {};
      const int end = start + 32 < block_size ? start + 32 : block_size;
      for (int k = start; k < end; k += 8, weights += 64) {
        prefetch_step(weights, 64);
        add_step<Rows>(weights, x + k, block_size, pairs);
      }
      EDGEDRAFT_UNROLL
      for (int row = 0; row < Rows; ++row) {
        sums[row][0] = add(sums[row][0], widen(pairs[row][0]));
        sums[row][1] = add(sums[row][1], widen(pairs[row][1]));
      }
    }
  }

  template <int Rows>
  static void add_step(const uint8_t* weights, const int8_t* x, int block_size, Ints (&pairs)[Rows][2]) {
    const Ints bytes[2] = {load(weights), load(weights + 32)};
    EDGEDRAFT_UNROLL
    for (int row = 0; row < Rows; ++row) {
      const Ints first = broadcast(x + row * block_size), second = broadcast(x + row * block_size + 4);
      EDGEDRAFT_UNROLL
      for (int r = 0; r < 2; ++r) {
        const Ints both = _mm256_add_epi16(_mm256_maddubs_epi16(low(bytes[r]), first),
                                           _mm256_maddubs_epi16(high(bytes[r]), second));
        pairs[row][r] = _mm256_add_epi16(pairs[row][r], both);
      }
    }
  }
};

}  // namespace

extern const Kernel kAvx2;
const Kernel kAvx2 = {
    "avx2", Avx2::layout, cpu_has_avx2, is_common, quantize_rows, multiply<Avx2>,
    {prepare_rows, attend<Avx2>},
};

}  // namespace edgedraft

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
