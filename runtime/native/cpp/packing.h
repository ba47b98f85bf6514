// Weights in the order in which a kernel reads them.
//
// A panel holds `layout.columns` columns. It is one stream: for every block the weights, then one float scale a column;
// behind the last block the zero points, one byte a block and column, if there are any. Columns that fill up the last
// panel have weights and scales of 0.
//
// Weights of a block, with P = 8 / bits values a byte: register r of a step holds columns r * lanes to (r + 1) * lanes,
// `run` neighbouring k of each; value p of its bytes belongs to the p-th of P neighbouring runs.
#pragma once

#include "kernel.h"

namespace edgedraft {

inline int64_t packed_block_bytes(const Shape& shape, const Layout& layout) {
  return layout.columns * (shape.block_bytes() + int64_t(sizeof(float)));
}

inline int64_t panel_count(const Shape& shape, const Layout& layout) {
  return (shape.columns + layout.columns - 1) / layout.columns;
}

// A multiple of 64, so that registers of every panel lie inside cache lines.
inline int64_t panel_bytes(const Shape& shape, const Layout& layout) {
  const int64_t zero_points = shape.zero_points ? layout.columns : 0;
  return (shape.blocks() * (packed_block_bytes(shape, layout) + zero_points) + 63) / 64 * 64;
}

// Arrays in MatMulNBits's order: weights [N][blocks][block bytes], scales [N][blocks], zero points [N][bytes] with
// 8 / bits of them a byte, or null.
struct Source {
  const uint8_t* weights;
  const float* scales;
  const uint8_t* zero_points;
};

// Packs the panels from `first` to before `last`; `out` is where panel 0 begins.
void pack_panels(const Shape& shape, const Layout& layout, const Source& source, int64_t first, int64_t last,
                 uint8_t* out);

}  // namespace edgedraft
