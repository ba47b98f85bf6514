// One call of GroupQueryAttention: its tensors, checked against each other before anything is read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "ort_calls.h"

namespace edgedraft {
namespace {

enum Input { kQuery, kKey, kValue, kPastKey, kPastValue, kLengths, kTotal, kCosines, kSines, kPositions, kInputs = 14 };
enum Output { kOutput, kPresentKey, kPresentValue, kOutputs };

struct AttentionNode {
  const Kernel* kernel;
  int64_t heads, key_heads;
  float scale;
  bool rotary, interleaved;
};

inline void require(bool rule, const std::string& text) {
  if (!rule) throw std::invalid_argument("GroupQueryAttention: " + text);
}

// One call: its tensors as they came, checked against each other step by step.
struct Call {
  Call(const AttentionNode& node, OrtKernelContext* context) : node(node), context(context) {}

  const AttentionNode& node;
  OrtKernelContext* context;
  AttentionJob job = {};
  std::vector<int64_t> begins, positions;
  std::vector<float> rotated;
  int64_t past_capacity = 0, total = 0;
  const float *past_keys = nullptr, *past_values = nullptr;

  Tensor tensor(Input input, int type, const char* name) const {
    const OrtValue* value = input_at(context, input);
    require(value != nullptr, std::string(name) + " is missing");
    return tensor_of(value, type, std::string("GroupQueryAttention: ") + name);
  }

  // Query, key and value: three inputs, or one that holds them side by side.
  void read_rows() {
    AttentionShape& shape = job.shape;
    const Tensor query = tensor(kQuery, kFloat, "query");
    require(query.sizes.size() == 3, "query must have 3 dimensions");
    const bool packed = input_at(context, kKey) == nullptr;
    const int64_t parts = node.heads + (packed ? 2 * node.key_heads : 0);
    shape.batch = query.sizes[0], shape.rows = query.sizes[1];
    shape.heads = node.heads, shape.key_heads = node.key_heads;
    shape.width = query.sizes[2] / parts;
    require(shape.width > 0 && shape.width * parts == query.sizes[2], "query: heads do not divide its last dimension");
    job.query = static_cast<const float*>(query.data);
    job.query_stride = query.sizes[2];
    if (packed) {
      job.key = job.query + shape.heads * shape.width;
      job.value = job.key + shape.key_heads * shape.width;
      job.key_stride = job.value_stride = job.query_stride;
    } else {
      job.key_stride = job.value_stride = shape.key_heads * shape.width;
      job.key = rows_of(kKey, "key"), job.value = rows_of(kValue, "value");
    }
    shape.scale = node.scale != 0.0f ? node.scale : 1.0f / std::sqrt(float(shape.width));
  }

  const float* rows_of(Input input, const char* name) const {
    const Tensor rows = tensor(input, kFloat, name);
    const std::vector<int64_t> expected = {job.shape.batch, job.shape.rows, job.key_stride};
    require(rows.sizes == expected, std::string(name) + " must have as many rows as query, of kv_num_heads heads");
    return static_cast<const float*>(rows.data);
  }

  void read_past() {
    AttentionShape& shape = job.shape;
    if (input_at(context, kPastKey) && input_at(context, kPastValue)) {
      const Tensor keys = tensor(kPastKey, kFloat, "past_key"), values = tensor(kPastValue, kFloat, "past_value");
      const bool fits = keys.sizes.size() == 4 && keys.sizes == values.sizes && keys.sizes[0] == shape.batch &&
                        keys.sizes[1] == shape.key_heads && keys.sizes[3] == shape.width;
      require(fits, "past_key and past_value must be [batch, kv_num_heads, tokens, head width]");
      past_capacity = keys.sizes[2];
      past_keys = static_cast<const float*>(keys.data), past_values = static_cast<const float*>(values.data);
    }
    const Tensor whole = tensor(kTotal, kInt32, "total_sequence_length");
    require(whole.count() == 1, "total_sequence_length must be one number");
    total = *static_cast<const int32_t*>(whole.data);
    shape.capacity = std::max(total, past_capacity);
  }

  // Where each text begins in its keys: behind the tokens that it has already.
  void read_lengths() {
    const AttentionShape& shape = job.shape;
    const Tensor lengths = tensor(kLengths, kInt32, "seqlens_k");
    require(lengths.count() == shape.batch, "seqlens_k must have one number a text");
    for (int64_t text = 0; text < shape.batch; ++text) {
      const int64_t length = int64_t(static_cast<const int32_t*>(lengths.data)[text]) + 1;
      begins.push_back(total == shape.rows ? 0 : length - shape.rows);
      const bool fits = begins.back() >= 0 && begins.back() + shape.rows <= shape.capacity;
      require(fits, "seqlens_k does not fit the rows and the keys");
      require(begins.back() == 0 || (past_keys && begins.back() <= past_capacity), "seqlens_k is beyond past_key");
    }
    job.begins = begins.data();
  }

  void read_rotation() {
    AttentionShape& shape = job.shape;
    positions.resize(size_t(shape.batch * shape.rows));
    job.positions = positions.data();
    if (!node.rotary) {
      static constexpr float none = 0.0f;
      job.cosines = job.sines = &none;  // of no pair
      return;
    }
    const Tensor cosines = tensor(kCosines, kFloat, "cos_cache"), sines = tensor(kSines, kFloat, "sin_cache");
    const bool pair = cosines.sizes.size() == 2 && cosines.sizes == sines.sizes;
    require(pair && cosines.sizes[1] * 2 <= shape.width, "cos_cache and sin_cache must be [positions, pairs]");
    shape.rotary_half = cosines.sizes[1], shape.interleaved = node.interleaved;
    job.cosines = static_cast<const float*>(cosines.data), job.sines = static_cast<const float*>(sines.data);
    const int64_t* given = nullptr;
    if (input_at(context, kPositions)) {
      const Tensor ids = tensor(kPositions, kInt64, "position_ids");
      require(ids.count() == shape.batch * shape.rows, "position_ids must have one number a row");
      given = static_cast<const int64_t*>(ids.data);
    }
    for (int64_t row = 0; row < shape.batch * shape.rows; ++row) {
      const int64_t position = given ? given[row] : begins[size_t(row / shape.rows)] + row % shape.rows;
      require(position >= 0 && position < cosines.sizes[0], "a position is outside of cos_cache");
      positions[size_t(row)] = position;
    }
  }

  void take_outputs() {
    const AttentionShape& shape = job.shape;
    const std::vector<int64_t> cache = {shape.batch, shape.key_heads, shape.capacity, shape.width};
    job.output = output_at(context, kOutput, {shape.batch, shape.rows, shape.heads * shape.width});
    job.keys = output_at(context, kPresentKey, cache);
    job.values = output_at(context, kPresentValue, cache);
    require(job.output && job.keys && job.values, "present_key and present_value must be outputs");
    rotated.resize(size_t(shape.batch * shape.rows * shape.heads * shape.width));
    job.rotated = rotated.data();
    carry_over(past_keys, job.keys);
    carry_over(past_values, job.values);
  }

  // Copies what was there before, unless past and present share their memory, and clears what stays unused.
  void carry_over(const float* past, float* present) const {
    if (past == present) return;
    const AttentionShape& shape = job.shape;
    for (int64_t head = 0; head < shape.batch * shape.key_heads; ++head) {
      const int64_t begin = begins[size_t(head / shape.key_heads)] * shape.width;
      float* place = present + head * shape.capacity * shape.width;
      if (begin > 0) std::memcpy(place, past + head * past_capacity * shape.width, size_t(begin) * sizeof(float));
      std::fill(place + begin, place + shape.capacity * shape.width, 0.0f);
    }
  }
};

}  // namespace
}  // namespace edgedraft
