// AVX-VNNI (256 bits, as on laptops without AVX-512): 16 columns a panel in two registers, up to 4 rows.
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
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2,fma,avxvnni")
#endif

#include "avx2_common.h"
#include "panel.h"
#include "quantize.h"

#include "attend.h"

namespace edgedraft {
namespace {

struct AvxVnni : Avx2Base {
  static constexpr Layout layout = {16, 8, 4, false};
  static constexpr int most_rows = 4;

  static Ints dot(Ints sum, Ints weights, Ints x) { return _mm256_dpbusd_avx_epi32(sum, weights, x); }

  template <int Bits>
  static Floats zero_points(const uint8_t* place) {
    return to_floats(unsigned_bytes(place));
  }
  template <int Bits, int Rows>
  static void block_sums(const uint8_t* weights, const int8_t* x, int block_size, Ints (&sums)[Rows][2]) {
    quad_sums<AvxVnni, Bits, Rows>(weights, x, block_size, sums);
  }
};

}  // namespace

extern const Kernel kAvxVnni;
const Kernel kAvxVnni = {
    "avxvnni", AvxVnni::layout, cpu_has_avxvnni, is_common, quantize_rows, multiply<AvxVnni>,
    {prepare_rows, attend<AvxVnni>},
};

}  // namespace edgedraft

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
