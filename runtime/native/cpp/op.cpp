// The operator com.microsoft::MatMulNBits for onnxruntime. A custom operator of that name replaces the built-in kernel
// in every session whose options it was registered with.
#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "exported.h"
#include "matrix.h"
#include "memory.h"
#include "ort_calls.h"

namespace edgedraft {
namespace {

enum Input { kA, kB, kScales, kZeroPoints, kGroupIndex, kBias, kInputs };

std::atomic<int64_t> products{0}, portable_products{0};

// The constant behind an input, or null where it is absent or computed by the graph.
const OrtValue* constant_at(const OrtKernelInfo* info, size_t index) {
  int constant = 0;
  const OrtValue* value = nullptr;
  if (OrtStatus* status = api.load()->constant_input(info, index, &constant, &value)) {
    api.load()->release_status(status);  // this is how it says that an optional input is absent
    return nullptr;
  }
  return constant ? value : nullptr;
}

struct Node {
  std::unique_ptr<Matrix> matrix;
  bool has_constant[kInputs] = {};
};

// Reads one constant input into `data` and `count`; leaves them empty where there is none.
template <class Element>
void read_constant(const OrtKernelInfo* info, Input input, const char* name, int type, Node& node,
                   const Element*& data, int64_t& count) {
  size_t inputs;
  check(api.load()->declared_input_count(info, &inputs));
  const OrtValue* value = size_t(input) < inputs ? constant_at(info, input) : nullptr;
  if (!value) return;
  const Tensor tensor = tensor_of(value, type, std::string("MatMulNBits: ") + name);
  data = static_cast<const Element*>(tensor.data);
  count = tensor.count();
  node.has_constant[input] = true;
}

OrtStatus* create(const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
  return guarded([&] {
    auto node = std::make_unique<Node>();
    RawMatrix raw = {};
    raw.columns = attribute(info, "N", int64_t(0));
    raw.depth = attribute(info, "K", int64_t(0));
    raw.bits = attribute(info, "bits", int64_t(4));
    raw.block_size = attribute(info, "block_size", int64_t(0));
    read_constant(info, kB, "B", kUint8, *node, raw.weights, raw.weight_count);
    read_constant(info, kScales, "scales", kFloat, *node, raw.scales, raw.scale_count);
    read_constant(info, kZeroPoints, "zero_points", kUint8, *node, raw.zero_points, raw.zero_point_count);
    read_constant(info, kBias, "bias", kFloat, *node, raw.bias, raw.bias_count);
    node->matrix = std::make_unique<Matrix>(*static_cast<const Operator*>(op)->kernel, raw);
    give_back_file_pages(raw.weights, size_t(raw.weight_count));
    *kernel = node.release();
  });
}

// An optional input that was no constant when the node was made, but is there now, would be ignored silently.
void require_no_computed_input(const Node& node, const OrtKernelContext* context) {
  size_t count;
  check(api.load()->input_count(context, &count));
  for (size_t index = kZeroPoints; index < std::min(count, size_t(kInputs)); ++index) {
    const OrtValue* value = nullptr;
    check(api.load()->input(context, index, &value));
    if (value && !node.has_constant[index]) {
      throw std::invalid_argument("MatMulNBits: zero_points and bias must be constants, and g_idx absent");
    }
  }
}

// One product while it runs; the tasks are numbers below `tasks`.
struct Job {
  const Weights* weights;
  const Activations* activations;
  const float* x;
  float* y;
  int64_t items, tasks;

  int64_t begin_of(size_t task) const { return items * int64_t(task) / tasks; }
};

void quantize_task(void* data, size_t task) {
  const Job& job = *static_cast<Job*>(data);
  job.weights->kernel->quantize(job.weights->shape, job.x, job.begin_of(task), job.begin_of(task + 1),
                                *job.activations);
}

void multiply_task(void* data, size_t task) {
  const Job& job = *static_cast<Job*>(data);
  job.weights->kernel->multiply(*job.weights, *job.activations, job.begin_of(task), job.begin_of(task + 1), job.y);
}

// Enough tasks that threads which were late or slow do not hold up the others; few enough that taking one costs nothing.
constexpr int64_t kMostTasks = 32, kLeastPanels = 2, kFloatsWorthATask = 1 << 15;

void multiply_rows(const Node& node, const OrtKernelContext* context, const float* x, int64_t rows, float* y) {
  static thread_local ActivationBuffer buffer;  // the calling thread waits here until its tasks are done
  const Matrix& matrix = *node.matrix;
  const Shape& shape = matrix.shape();
  Job job = {&matrix.weights(), &buffer.prepare(shape, rows), x, y, rows, 1};
  job.tasks = std::clamp(rows * shape.depth / kFloatsWorthATask, int64_t(1), std::min(rows, kMostTasks));
  if (job.tasks == 1) {
    quantize_task(&job, 0);
  } else {
    check(api.load()->parallel_for(context, quantize_task, size_t(job.tasks), &job));
  }
  job.items = matrix.panels();
  job.tasks = std::clamp(job.items / kLeastPanels, int64_t(1), kMostTasks);
  check(api.load()->parallel_for(context, multiply_task, size_t(job.tasks), &job));
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  return guarded([&] {
    const Node& node = *static_cast<const Node*>(kernel);
    require_no_computed_input(node, context);
    const OrtValue* input;
    check(api.load()->input(context, kA, &input));
    const Tensor x = tensor_of(input, kFloat, "MatMulNBits: A");
    const Shape& shape = node.matrix->shape();
    if (x.sizes.empty() || x.sizes.back() != shape.depth) {
      throw std::invalid_argument("MatMulNBits: the last dimension of A must be K = " + std::to_string(shape.depth));
    }
    std::vector<int64_t> sizes = x.sizes;
    sizes.back() = shape.columns;
    OrtValue* output;
    check(api.load()->output(context, 0, sizes.data(), sizes.size(), &output));
    void* y;
    check(api.load()->tensor_data(output, &y));
    const int64_t rows = x.count() / shape.depth;
    if (rows > 0) multiply_rows(node, context, static_cast<const float*>(x.data), rows, static_cast<float*>(y));
    products.fetch_add(1, std::memory_order_relaxed);
    if (&node.matrix->kernel() == &kPortable) portable_products.fetch_add(1, std::memory_order_relaxed);
  });
}

int input_type(const OrtCustomOp*, size_t index) {
  constexpr int types[kInputs] = {kFloat, kUint8, kFloat, kUint8, kInt32, kFloat};
  return types[index];
}

}  // namespace

std::atomic<const OrtApi*> api{nullptr};

Operator product_operator(const Kernel* kernel) {
  Operator op = plain_operator(kernel);
  op.name = [](const OrtCustomOp*) { return "MatMulNBits"; };
  op.input_type = input_type;
  op.input_count = [](const OrtCustomOp*) { return size_t(kInputs); };
  op.output_count = [](const OrtCustomOp*) { return size_t(1); };
  op.destroy = [](void* node) { delete static_cast<Node*>(node); };
  op.input_characteristic = [](const OrtCustomOp*, size_t index) { return index < kZeroPoints ? kRequired : kOptional; };
  op.create_kernel_v2 = create;
  op.compute_v2 = compute;
  return op;
}

}  // namespace edgedraft

// Products since the library was loaded, of all sessions; tests ask whether our kernels ran.
EDGEDRAFT_EXPORT int64_t edgedraft_products() { return edgedraft::products; }
EDGEDRAFT_EXPORT int64_t edgedraft_portable_products() { return edgedraft::portable_products; }
