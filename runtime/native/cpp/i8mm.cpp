// Arm with the matrix instructions (smmla): two rows by two columns of eight k at once, 16 columns a panel.
#include "cpu.h"

#if defined(EDGEDRAFT_I8MM)

#include <arm_neon.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernel.h"
#include "packing.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("i8mm"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("arch=armv8.2-a+i8mm")
#endif

#include "neon_common.h"
#include "panel.h"
#include "quantize.h"

#include "attend.h"

namespace edgedraft {
namespace {

struct I8mm : NeonBase {
  // Four lanes of floats, and weights in registers of two columns with a run of eight: packing sees the latter.
  static constexpr Layout layout = {16, 4, 4, true};
  static constexpr Layout packed = {16, 2, 8, true};
  static constexpr int most_rows = 4, tiles = 8;

  // Two rows' eight values; an odd last row stands beside zeros.
  static int8x16_t row_pair(const int8_t* x, int block_size, bool both) {
    return vcombine_s8(vld1_s8(x), both ? vld1_s8(x + block_size) : vdup_n_s8(0));
  }

  // sums[pair][tile] holds row 0 column 0, row 0 column 1, row 1 column 0, row 1 column 1.
  template <int Pairs>
  static void add_tiles(const int8x16_t (&weights)[tiles], const int8x16_t (&x)[Pairs], Ints (&sums)[Pairs][tiles]) {
    EDGEDRAFT_UNROLL
    for (int pair = 0; pair < Pairs; ++pair) {
      EDGEDRAFT_UNROLL
      for (int tile = 0; tile < tiles; ++tile) sums[pair][tile] = vmmlaq_s32(sums[pair][tile], x[pair], weights[tile]);
    }
  }

  // A step is sixteen k with 4 bits (low halves, then high halves of the same registers) and eight with 8 bits.
  template <int Bits>
  static void unpack_tiles(const uint8_t* weights, int part, int8x16_t (&out)[tiles]) {
    EDGEDRAFT_UNROLL
    for (int tile = 0; tile < tiles; ++tile) {
      const Ints bytes = load(weights + tile * 16);
      out[tile] = vreinterpretq_s8_s32(Bits == 8 ? bytes : part ? high(bytes) : low(bytes));
    }
  }

  template <int Bits, int Rows>
  static void block_sums(const uint8_t* weights, const int8_t* x, int block_size, Ints (&sums)[Rows][4]) {
    constexpr int pairs = (Rows + 1) / 2, parts = 8 / Bits;
    Ints tiled[pairs][tiles] = {};
    for (int k = 0; k < block_size; k += 8 * parts, weights += tiles * 16) {
      prefetch_step(weights, tiles * 16);
      EDGEDRAFT_UNROLL
      for (int part = 0; part < parts; ++part) {
        int8x16_t columns[tiles], rows[pairs];
        unpack_tiles<Bits>(weights, part, columns);
        EDGEDRAFT_UNROLL
        for (int pair = 0; pair < pairs; ++pair) {
          rows[pair] = row_pair(x + 2 * pair * block_size + k + 8 * part, block_size, 2 * pair + 1 < Rows);
        }
        add_tiles<pairs>(columns, rows, tiled);
      }
    }
    EDGEDRAFT_UNROLL
    for (int row = 0; row < Rows; ++row) {
      EDGEDRAFT_UNROLL
      for (int r = 0; r < 4; ++r) sums[row][r] = row_of_tiles(tiled[row / 2][2 * r], tiled[row / 2][2 * r + 1], row % 2);
    }
  }

  static Ints row_of_tiles(Ints left, Ints right, int row) {
    return row ? vcombine_s32(vget_high_s32(left), vget_high_s32(right))
               : vcombine_s32(vget_low_s32(left), vget_low_s32(right));
  }
};

}  // namespace

extern const Kernel kI8mm;
const Kernel kI8mm = {
    "i8mm", I8mm::packed, cpu_has_i8mm, is_common, quantize_rows, multiply<I8mm>,
    {prepare_rows, attend<I8mm>},
};

}  // namespace edgedraft

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
