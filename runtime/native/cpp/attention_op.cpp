// The operator com.microsoft::GroupQueryAttention for onnxruntime, without windows, soft caps, biases, sinks and
// quantized keys; edgedraft looks at a graph before it registers this.
#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "attention_call.h"
#include "exported.h"

namespace edgedraft {
namespace {

std::atomic<int64_t> attentions{0};

OrtStatus* create(const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** made) {
  return guarded([&] {
    auto node = std::make_unique<AttentionNode>();
    node->kernel = static_cast<const Operator*>(op)->kernel;
    node->heads = attribute(info, "num_heads", int64_t(0));
    node->key_heads = attribute(info, "kv_num_heads", int64_t(0));
    node->scale = attribute(info, "scale", 0.0f);
    node->rotary = attribute(info, "do_rotary", int64_t(0)) != 0;
    node->interleaved = attribute(info, "rotary_interleaved", int64_t(0)) != 0;
    const bool divides = node->key_heads > 0 && node->heads > 0 && node->heads % node->key_heads == 0;
    require(divides, "num_heads must be a multiple of kv_num_heads");
    require(attribute(info, "local_window_size", int64_t(-1)) == -1, "local_window_size is not computed");
    require(attribute(info, "softcap", 0.0f) == 0.0f, "softcap is not computed");
    require(attribute(info, "smooth_softmax", int64_t(0)) == 0, "smooth_softmax is not computed");
    *made = node.release();
  });
}

void prepare_task(void* data, size_t task) {
  const auto& [job, kernel] = *static_cast<std::pair<AttentionJob, const AttentionKernel*>*>(data);
  kernel->prepare(job, job.begin_of(int64_t(task)), job.begin_of(int64_t(task) + 1));
}

void attend_task(void* data, size_t task) {
  const auto& [job, kernel] = *static_cast<std::pair<AttentionJob, const AttentionKernel*>*>(data);
  kernel->attend(job, job.begin_of(int64_t(task)), job.begin_of(int64_t(task) + 1));
}

// Products that are worth a task, floats of scores that stay in the second-level cache, rows that share laid out keys.
constexpr int64_t kWorthATask = 1 << 16, kScoreFloats = 1 << 16, kMostRows = 16, kMostTasks = 64;

void run(const Call& call) {
  std::pair<AttentionJob, const AttentionKernel*> work = {call.job, &call.node.kernel->attention};
  AttentionJob& job = work.first;
  const AttentionShape& shape = job.shape;
  const int64_t rows = shape.batch * shape.rows, row_floats = shape.heads * shape.width;
  if (rows == 0) return;
  const auto in_parallel = [&](void (*task)(void*, size_t), int64_t items, int64_t cost) {
    job.items = items;
    job.tasks = std::clamp(cost / kWorthATask, int64_t(1), std::min(items, kMostTasks));
    if (job.tasks == 1) return task(&work, 0);
    check(api.load()->parallel_for(call.context, task, size_t(job.tasks), &work));
  };
  job.chunk_rows = std::clamp(kScoreFloats / (std::max(call.total, int64_t(1)) * kMostHeads), int64_t(1), kMostRows);
  in_parallel(prepare_task, rows, rows * row_floats * 2);
  in_parallel(attend_task, job.attend_items(), rows * row_floats * call.total * 2);
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  return guarded([&] {
    Call call(*static_cast<const AttentionNode*>(kernel), context);
    size_t count;
    check(api.load()->input_count(context, &count));
    for (size_t index = kPositions + 1; index < count; ++index) {
      require(input_at(context, index) == nullptr, "attention_bias, head_sink and scales are not computed");
    }
    call.read_rows();
    call.read_past();
    call.read_lengths();
    call.read_rotation();
    call.take_outputs();
    run(call);
    attentions.fetch_add(1, std::memory_order_relaxed);
  });
}

int input_type(const OrtCustomOp*, size_t index) {
  constexpr int types[] = {kFloat, kFloat, kFloat, kFloat, kFloat, kInt32, kInt32, kFloat, kFloat, kInt64};
  return index < kPositions + 1 ? types[index] : kFloat;
}

}  // namespace

Operator attention_operator(const Kernel* kernel) {
  Operator op = plain_operator(kernel);
  op.name = [](const OrtCustomOp*) { return "GroupQueryAttention"; };
  op.input_type = input_type;
  op.input_count = [](const OrtCustomOp*) { return size_t(kInputs); };
  op.output_count = [](const OrtCustomOp*) { return size_t(kOutputs); };
  op.destroy = [](void* node) { delete static_cast<AttentionNode*>(node); };
  op.input_characteristic = [](const OrtCustomOp*, size_t index) {
    return index == kQuery || index == kLengths || index == kTotal ? kRequired : kOptional;
  };
  op.create_kernel_v2 = create;
  op.compute_v2 = compute;
  return op;
}

}  // namespace edgedraft

// Attentions since the library was loaded, of all sessions; tests ask whether ours ran.
EDGEDRAFT_EXPORT int64_t edgedraft_attentions() { return edgedraft::attentions; }
