#include "packing.h"

#include <cstring>

namespace edgedraft {
namespace {

uint8_t value_at(const uint8_t* bytes, int bits, int64_t index) {
  const int in_byte = 8 / bits;
  return uint8_t(bytes[index / in_byte] >> (bits * (index % in_byte)) & ((1 << bits) - 1));
}

void unpack_block(const uint8_t* bytes, int bits, int block_size, uint8_t flip, uint8_t* values) {
  for (int k = 0; k < block_size; ++k) values[k] = uint8_t(value_at(bytes, bits, k) ^ flip);
}

// Spreads one column's block over the registers; `out` is where the block begins, `column` counts inside the panel.
void place_block(const uint8_t* values, const Shape& shape, const Layout& layout, int column, uint8_t* out) {
  const int in_byte = 8 / shape.bits;
  const int steps = shape.block_size / (in_byte * layout.run);
  const int registers = layout.columns / layout.lanes;
  const int step_bytes = registers * layout.lanes * layout.run;
  uint8_t* place = out + column * layout.run;  // registers of a step follow each other: columns stay in order
  for (int step = 0; step < steps; ++step, place += step_bytes) {
    for (int part = 0; part < in_byte; ++part) {
      for (int j = 0; j < layout.run; ++j) place[j] = uint8_t(place[j] | (*values++ << (shape.bits * part)));
    }
  }
}

void pack_column(const Shape& shape, const Layout& layout, const Source& source, int64_t n, int column,
                 uint8_t* panel) {
  const int64_t blocks = shape.blocks(), block_bytes = packed_block_bytes(shape, layout);
  const int64_t zero_bytes = (blocks * shape.bits + 7) / 8;
  const uint8_t flip = layout.signed_bytes && shape.bits == 8 ? 0x80 : 0;
  uint8_t values[256];
  for (int64_t block = 0; block < blocks; ++block) {
    uint8_t* out = panel + block * block_bytes;
    const int64_t index = n * blocks + block;
    unpack_block(source.weights + index * shape.block_bytes(), shape.bits, shape.block_size, flip, values);
    place_block(values, shape, layout, column, out);
    std::memcpy(out + layout.columns * shape.block_bytes() + column * sizeof(float), source.scales + index,
                sizeof(float));
    if (shape.zero_points) {
      const uint8_t zero = value_at(source.zero_points + n * zero_bytes, shape.bits, block);
      panel[blocks * block_bytes + block * layout.columns + column] = uint8_t(zero ^ flip);
    }
  }
}

}  // namespace

void pack_panels(const Shape& shape, const Layout& layout, const Source& source, int64_t first, int64_t last,
                 uint8_t* out) {
  const int64_t bytes = panel_bytes(shape, layout);
  for (int64_t number = first; number < last; ++number) {
    uint8_t* panel = out + number * bytes;
    std::memset(panel, 0, size_t(bytes));
    for (int column = 0; column < layout.columns; ++column) {
      const int64_t n = number * layout.columns + column;
      if (n < shape.columns) pack_column(shape, layout, source, n, column, panel);
    }
  }
}

}  // namespace edgedraft
