// Attention of grouped queries (GroupQueryAttention), and the numbers that every kernel must yield.
//
// A query reads the keys and values of the n tokens up to its own. With q scaled and both q and k rotated:
//
//     score[j] = fma(q[i], k[j][i], ...) over i in rising order, from 0
//     weight[j] = exp(score[j] - the largest score)
//     y[i] = fma(weight[j], v[j][i], ...) over j in rising order, from 0, times 1 / (the sum of the weights)
//
// Weights are summed in kSums parts, part p those with j % kSums == p, which are then added in pairs. Nothing of this
// depends on the other rows of the pass, on how rows are split into passes, on instruction sets or on threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedraft {

constexpr int kSums = 16;
constexpr int kMostHeads = 4;  // heads of a task; they share the keys and values that it reads

struct AttentionShape {
  int64_t batch, rows;       // rows of each text in this pass
  int64_t heads, key_heads;  // `heads` is a multiple of `key_heads`
  int64_t width;             // of a head
  int64_t capacity;          // tokens that a head's keys have space for
  int64_t rotary_half;       // pairs of numbers of a head to rotate; 0 for none
  bool interleaved;          // pairs are neighbours, not rotary_half apart
  float scale;

  int64_t group() const { return heads / key_heads; }
  int64_t tiles() const { return (group() + kMostHeads - 1) / kMostHeads; }
};

// One pass. Arrays of the input hold one row after the other; `stride` is the distance of rows.
struct AttentionJob {
  AttentionShape shape;
  const float *query, *key, *value;
  int64_t query_stride, key_stride, value_stride;
  const float *cosines, *sines;  // rotary_half a position
  const int64_t* positions;      // one a row
  const int64_t* begins;         // one a text: tokens before its first row
  float *keys, *values;          // [batch][key_heads][capacity][width]
  float* rotated;                // [batch * rows][heads][width]
  float* output;                 // [batch * rows][heads][width]
  int64_t chunk_rows;            // rows of a task
  int64_t items, tasks;          // for threads

  int64_t chunks() const { return (shape.rows + chunk_rows - 1) / chunk_rows; }
  int64_t attend_items() const { return shape.batch * shape.key_heads * shape.tiles() * chunks(); }
  int64_t begin_of(int64_t task) const { return items * task / tasks; }
};

struct AttentionKernel {
  // Rotates the rows from `first` to before `last` (of batch * rows) and writes their keys and values.
  void (*prepare)(const AttentionJob&, int64_t first, int64_t last);
  // Computes the items from `first` to before `last` of `attend_items()`, when every row is prepared.
  void (*attend)(const AttentionJob&, int64_t first, int64_t last);
};

// This thread's memory for that many floats; the next call may move it. Compiled for any CPU, which a container used in
// the kernels' own files would not be.
float* attention_memory(size_t floats);

}  // namespace edgedraft
