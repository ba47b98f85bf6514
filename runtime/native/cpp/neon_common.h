// What the two Arm kernels share. Included after a target pragma.
#pragma once

namespace edgedraft {
namespace {

// Bytes of weights travel in registers of int32 lanes, so that one type serves sums and weights.
struct NeonBase {
  using Ints = int32x4_t;
  using Floats = float32x4_t;

  static Ints load(const uint8_t* place) { return vreinterpretq_s32_u8(vld1q_u8(place)); }
  static Ints low(Ints bytes) {
    return vreinterpretq_s32_u8(vandq_u8(vreinterpretq_u8_s32(bytes), vdupq_n_u8(15)));
  }
  static Ints high(Ints bytes) { return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(bytes), 4)); }
  static Floats all(float value) { return vdupq_n_f32(value); }
  static Floats load_floats(const uint8_t* place) { return vreinterpretq_f32_u8(vld1q_u8(place)); }
  static Floats to_floats(Ints values) { return vcvtq_f32_s32(values); }
  static Floats times(Floats a, Floats b) { return vmulq_f32(a, b); }
  static Floats plus_product(Floats sum, Floats a, Floats b) { return vfmaq_f32(sum, a, b); }
  static Floats minus_product(Floats sum, Floats a, Floats b) { return vfmsq_f32(sum, a, b); }
  static void store(float* place, Floats values) { vst1q_f32(place, values); }

  static int64_t transpose(const float* keys, int64_t width, float* into) {
    const int64_t done = width / 4 * 4;
    for (int64_t i = 0; i < done; i += 4) {
      for (int j = 0; j < 8; j += 4) transpose_4x4(keys + j * width + i, width, into + i * 8 + j);
    }
    return done;
  }
  // Writes column i of 4 x 4 numbers, whose rows are `width` apart, to `into + 8 * i`.
  static void transpose_4x4(const float* rows, int64_t width, float* into) {
    const Floats a = vld1q_f32(rows), b = vld1q_f32(rows + width);
    const Floats c = vld1q_f32(rows + 2 * width), d = vld1q_f32(rows + 3 * width);
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    vst1q_f32(into, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
    vst1q_f32(into + 8, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
    vst1q_f32(into + 16, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
    vst1q_f32(into + 24, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
  }

  template <int Bits>
  static Floats zero_points(const uint8_t* place) {
    int32_t bytes;
    std::memcpy(&bytes, place, sizeof bytes);
    const int8x8_t values = vreinterpret_s8_s32(vdup_n_s32(bytes));  // 4-bit ones are below 16, so signed serves both
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(values))));
  }
};

}  // namespace
}  // namespace edgedraft
