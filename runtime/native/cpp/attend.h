// Attention for all instruction sets. Included after a target pragma and quantize.h, with `Isa` giving vector
// operations (see panel.h) and
//
//   transpose(keys, width, into)   `into` [width][2 * lanes] from 2 * lanes keys of `width` numbers; returns how many of
//                                  the numbers it did, the caller does the rest
#pragma once

#include "attention.h"
#include "softmax.h"

namespace edgedraft {
namespace {

template <class Isa>
constexpr int lanes_of() {
  return int(sizeof(typename Isa::Floats) / sizeof(float));
}

template <class Isa>
inline typename Isa::Floats floats_at(const float* place) {
  return Isa::load_floats(reinterpret_cast<const uint8_t*>(place));
}

inline void rotate(const AttentionShape& shape, const float* x, const float* cosines, const float* sines, float scale,
                   float* y) {
  const int64_t half = shape.rotary_half;
  if (shape.interleaved) {
    for (int64_t i = 0; i < half; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      y[2 * i] = (a * cosines[i] - b * sines[i]) * scale;
      y[2 * i + 1] = (b * cosines[i] + a * sines[i]) * scale;
    }
  } else {
    for (int64_t i = 0; i < half; ++i) {
      const float a = x[i], b = x[half + i];
      y[i] = (a * cosines[i] - b * sines[i]) * scale;
      y[half + i] = (b * cosines[i] + a * sines[i]) * scale;
    }
  }
  for (int64_t i = 2 * half; i < shape.width; ++i) y[i] = x[i] * scale;
}

inline void prepare_rows(const AttentionJob& job, int64_t first, int64_t last) {
  const AttentionShape& shape = job.shape;
  const int64_t width = shape.width;
  for (int64_t row = first; row < last; ++row) {
    const int64_t text = row / shape.rows, token = job.begins[text] + row % shape.rows;
    const float* cosines = job.cosines + job.positions[row] * shape.rotary_half;
    const float* sines = job.sines + job.positions[row] * shape.rotary_half;
    for (int64_t head = 0; head < shape.heads; ++head) {
      rotate(shape, job.query + row * job.query_stride + head * width, cosines, sines, shape.scale,
             job.rotated + (row * shape.heads + head) * width);
    }
    for (int64_t head = 0; head < shape.key_heads; ++head) {
      const int64_t place = ((text * shape.key_heads + head) * shape.capacity + token) * width;
      rotate(shape, job.key + row * job.key_stride + head * width, cosines, sines, 1.0f, job.keys + place);
      std::memcpy(job.values + place, job.value + row * job.value_stride + head * width, size_t(width) * sizeof(float));
    }
  }
}

// Lays `count` keys beside each other, as many as two registers hold; absent ones are zeros.
template <class Isa>
void transpose_keys(const float* keys, int64_t count, int64_t width, float* into) {
  constexpr int columns = 2 * lanes_of<Isa>();
  int64_t done = 0;
  if (count == columns) {
    done = Isa::transpose(keys, width, into);
  } else {
    std::memset(into, 0, size_t(width) * columns * sizeof(float));
  }
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t i = done; i < width; ++i) into[i * columns + j] = keys[j * width + i];
  }
}

template <class Isa, int Heads>
void scores_of(const float* query, const float* transposed, int64_t width, float* scores, int64_t stride) {
  constexpr int lanes = lanes_of<Isa>();
  typename Isa::Floats sums[Heads][2];
  EDGEDRAFT_UNROLL
  for (int head = 0; head < Heads; ++head) sums[head][0] = sums[head][1] = Isa::all(0.0f);
  for (int64_t i = 0; i < width; ++i) {
    const auto first = floats_at<Isa>(transposed + i * 2 * lanes), second = floats_at<Isa>(transposed + (i * 2 + 1) * lanes);
    EDGEDRAFT_UNROLL
    for (int head = 0; head < Heads; ++head) {
      const auto q = Isa::all(query[head * width + i]);
      sums[head][0] = Isa::plus_product(sums[head][0], q, first);
      sums[head][1] = Isa::plus_product(sums[head][1], q, second);
    }
  }
  EDGEDRAFT_UNROLL
  for (int head = 0; head < Heads; ++head) {
    Isa::store(scores + head * stride, sums[head][0]);
    Isa::store(scores + head * stride + lanes, sums[head][1]);
  }
}

template <class Isa, int Heads, int Registers>
void weighted_values(const float* weights, int64_t stride, int64_t count, const float* values, int64_t width,
                     const float* inverse, float* y) {
  constexpr int lanes = lanes_of<Isa>();
  typename Isa::Floats sums[Heads][Registers];
  EDGEDRAFT_UNROLL
  for (int head = 0; head < Heads; ++head) {
    EDGEDRAFT_UNROLL
    for (int r = 0; r < Registers; ++r) sums[head][r] = Isa::all(0.0f);
  }
  for (int64_t j = 0; j < count; ++j) {
    typename Isa::Floats v[Registers];
    EDGEDRAFT_UNROLL
    for (int r = 0; r < Registers; ++r) v[r] = floats_at<Isa>(values + j * width + r * lanes);
    EDGEDRAFT_UNROLL
    for (int head = 0; head < Heads; ++head) {
      const auto weight = Isa::all(weights[head * stride + j]);
      EDGEDRAFT_UNROLL
      for (int r = 0; r < Registers; ++r) sums[head][r] = Isa::plus_product(sums[head][r], weight, v[r]);
    }
  }
  EDGEDRAFT_UNROLL
  for (int head = 0; head < Heads; ++head) {
    EDGEDRAFT_UNROLL
    for (int r = 0; r < Registers; ++r) {
      Isa::store(y + head * width + r * lanes, Isa::times(sums[head][r], Isa::all(inverse[head])));
    }
  }
}

// All of a row's values, two registers of them at a time; what fills no register is done one by one.
template <class Isa, int Heads>
void values_of(const float* weights, int64_t stride, int64_t count, const float* values, int64_t width,
               const float* inverse, float* y) {
  constexpr int lanes = lanes_of<Isa>();
  int64_t i = 0;
  for (; i + 2 * lanes <= width; i += 2 * lanes) {
    weighted_values<Isa, Heads, 2>(weights, stride, count, values + i, width, inverse, y + i);
  }
  for (; i + lanes <= width; i += lanes) {
    weighted_values<Isa, Heads, 1>(weights, stride, count, values + i, width, inverse, y + i);
  }
  for (; i < width; ++i) {
    for (int head = 0; head < Heads; ++head) {
      float sum = 0.0f;
      for (int64_t j = 0; j < count; ++j) sum = std::fma(weights[head * stride + j], values[j * width + i], sum);
      y[head * width + i] = sum * inverse[head];
    }
  }
}

// What one task works on: some heads of some rows of one text, which share one head of keys and values.
struct AttentionTile {
  const float *query, *keys, *values;  // of the first row; the head's first token
  float* output;
  int64_t begin, rows;  // tokens before the first row; rows
};

template <class Isa, int Heads>
void attend_tile(const AttentionShape& shape, const AttentionTile& tile) {
  constexpr int columns = 2 * lanes_of<Isa>(), step = columns > kSums ? columns : kSums;
  const int64_t width = shape.width, row_floats = shape.heads * width, tokens = tile.begin + tile.rows;
  const int64_t stride = (tokens + step - 1) / step * step;
  float* transposed = attention_memory(size_t(width * columns + tile.rows * Heads * stride));
  float* scores = transposed + width * columns;
  for (int64_t block = 0; block < tokens; block += columns) {
    const int64_t left = tokens - block;
    transpose_keys<Isa>(tile.keys + block * width, left < columns ? left : columns, width, transposed);
    for (int64_t row = block < tile.begin ? 0 : block - tile.begin; row < tile.rows; ++row) {
      scores_of<Isa, Heads>(tile.query + row * row_floats, transposed, width, scores + row * Heads * stride + block,
                            stride);
    }
  }
  for (int64_t row = 0; row < tile.rows; ++row) {
    const int64_t count = tile.begin + row + 1;
    float* weights = scores + row * Heads * stride;
    float inverse[Heads];
    for (int head = 0; head < Heads; ++head) inverse[head] = weights_from(weights + head * stride, count);
    values_of<Isa, Heads>(weights, stride, count, tile.values, width, inverse, tile.output + row * row_floats);
  }
}

template <class Isa>
void attend(const AttentionJob& job, int64_t first, int64_t last) {
  const AttentionShape& shape = job.shape;
  const int64_t tiles = shape.tiles(), chunks = job.chunks(), group = shape.group();
  for (int64_t item = first; item < last; ++item) {
    const int64_t chunk = item % chunks, tile = item / chunks % tiles;
    const int64_t text = item / (chunks * tiles * shape.key_heads), key_head = item / (chunks * tiles) % shape.key_heads;
    const int64_t from = group * tile / tiles, heads = group * (tile + 1) / tiles - from;
    const int64_t row = chunk * job.chunk_rows, left = shape.rows - row;
    const int64_t place = ((text * shape.rows + row) * shape.heads + key_head * group + from) * shape.width;
    const int64_t head_place = (text * shape.key_heads + key_head) * shape.capacity * shape.width;
    const AttentionTile work = {job.rotated + place, job.keys + head_place, job.values + head_place, job.output + place,
                                job.begins[text] + row, left < job.chunk_rows ? left : job.chunk_rows};
    constexpr void (*functions[])(const AttentionShape&, const AttentionTile&) = {
        attend_tile<Isa, 1>, attend_tile<Isa, 2>, attend_tile<Isa, 3>, attend_tile<Isa, kMostHeads>};
    functions[heads - 1](shape, work);
  }
}

}  // namespace
}  // namespace edgedraft
