// Arm with the dot product instructions (sdot): 16 columns a panel in four registers, up to 4 rows.
#include "cpu.h"

#if defined(EDGEDRAFT_DOTPROD)

#include <arm_neon.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernel.h"
#include "packing.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#include "neon_common.h"
#include "panel.h"
#include "quantize.h"

#include "attend.h"

namespace edgedraft {
namespace {

struct DotProd : NeonBase {
  static constexpr Layout layout = {16, 4, 4, true};
  static constexpr int most_rows = 4;

  static Ints broadcast(const int8_t* quad) {
    int32_t bytes;
    std::memcpy(&bytes, quad, sizeof bytes);
    return vdupq_n_s32(bytes);
  }
  static Ints dot(Ints sum, Ints weights, Ints x) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(x));
  }
  template <int Bits, int Rows>
  static void block_sums(const uint8_t* weights, const int8_t* x, int block_size, Ints (&sums)[Rows][4]) {
    quad_sums<DotProd, Bits, Rows>(weights, x, block_size, sums);
  }
};

}  // namespace

extern const Kernel kDotProd;
const Kernel kDotProd = {
    "dotprod", DotProd::layout, cpu_has_dotprod, is_common, quantize_rows, multiply<DotProd>,
    {prepare_rows, attend<DotProd>},
};

}  // namespace edgedraft

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
