#include "packing.h"

#include <cstring>

namespace edgedraft {
namespace {

// Sizes are template arguments where the loops are short: packing a model takes seconds otherwise.
template <int Bits>
uint8_t value_at(const uint8_t* bytes, int64_t index) {
  constexpr int in_byte = 8 / Bits;
  return uint8_t(bytes[index / in_byte] >> (Bits * (index % in_byte)) & ((1 << Bits) - 1));
}

template <int Bits>
void unpack_block(const uint8_t* bytes, int block_size, uint8_t flip, uint8_t* values) {
  for (int k = 0; k < block_size; ++k) values[k] = uint8_t(value_at<Bits>(bytes, k) ^ flip);
}

// Spreads one column's block over the registers; `place` is where its first run goes. Registers of a step follow each
// other, so that columns stay in order, and `step_bytes` lead from a run to the column's next one.
template <int Bits, int Run>
void place_block(const uint8_t* values, int block_size, int step_bytes, uint8_t* place) {
  constexpr int in_byte = 8 / Bits;
  for (int k = 0; k < block_size; k += in_byte * Run, place += step_bytes) {
    for (int j = 0; j < Run; ++j) {
      int byte = 0;
      for (int part = 0; part < in_byte; ++part) byte |= values[k + part * Run + j] << (Bits * part);
      place[j] = uint8_t(byte);
    }
  }
}

template <int Bits, int Run>
void pack_column(const Shape& shape, const Layout& layout, const Source& source, int64_t n, int column,
                 uint8_t* panel) {
  const int64_t blocks = shape.blocks(), block_bytes = packed_block_bytes(shape, layout);
  const int64_t zero_bytes = (blocks * Bits + 7) / 8;
  const uint8_t flip = layout.signed_bytes && Bits == 8 ? 0x80 : 0;
  uint8_t values[256];
  for (int64_t block = 0; block < blocks; ++block) {
    uint8_t* out = panel + block * block_bytes;
    const int64_t index = n * blocks + block;
    unpack_block<Bits>(source.weights + index * shape.block_bytes(), shape.block_size, flip, values);
    place_block<Bits, Run>(values, shape.block_size, layout.columns * Run, out + column * Run);
    std::memcpy(out + layout.columns * shape.block_bytes() + column * sizeof(float), source.scales + index,
                sizeof(float));
    if (shape.zero_points) {
      const uint8_t zero = value_at<Bits>(source.zero_points + n * zero_bytes, block);
      panel[blocks * block_bytes + block * layout.columns + column] = uint8_t(zero ^ flip);
    }
  }
}

using Packer = void (*)(const Shape&, const Layout&, const Source&, int64_t, int, uint8_t*);

template <int Run>
Packer packer_of(int bits) {
  return bits == 2 ? pack_column<2, Run> : bits == 4 ? pack_column<4, Run> : pack_column<8, Run>;
}

}  // namespace

void pack_panels(const Shape& shape, const Layout& layout, const Source& source, int64_t first, int64_t last,
                 uint8_t* out) {
  const int64_t bytes = panel_bytes(shape, layout);
  const Packer pack = layout.run == 1   ? packer_of<1>(shape.bits)
                      : layout.run == 4 ? packer_of<4>(shape.bits)
                                        : packer_of<8>(shape.bits);
  for (int64_t number = first; number < last; ++number) {
    uint8_t* panel = out + number * bytes;
    std::memset(panel, 0, size_t(bytes));
    for (int column = 0; column < layout.columns; ++column) {
      const int64_t n = number * layout.columns + column;
      if (n < shape.columns) pack(shape, layout, source, n, column, panel);
    }
  }
}

}  // namespace edgedraft
