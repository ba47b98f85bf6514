// What operators share: calls into onnxruntime that throw, and tensors with their sizes.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernel.h"
#include "onnxruntime_abi.h"

namespace edgedraft {

extern std::atomic<const OrtApi*> api;  // what RegisterCustomOps was given

// Turns a status into an exception, so that the functions below read from top to bottom.
inline void check(OrtStatus* status) {
  if (!status) return;
  const std::string message = api.load()->error_message(status);
  api.load()->release_status(status);
  throw std::runtime_error(message);
}

// Runs `body`; no exception may cross into onnxruntime.
template <class Body>
OrtStatus* guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::invalid_argument& error) {
    return api.load()->create_status(kInvalidArgument, error.what());
  } catch (const std::bad_alloc&) {
    return api.load()->create_status(kFail, "not enough memory");
  } catch (const std::exception& error) {
    return api.load()->create_status(kFail, error.what());
  }
}

struct Tensor {
  std::vector<int64_t> sizes;
  void* data = nullptr;

  int64_t count() const {
    int64_t product = 1;
    for (const int64_t size : sizes) product *= size;
    return product;
  }
};

// `name` is that of the operator and its input, as an error message shows it.
inline Tensor tensor_of(const OrtValue* value, int type, const std::string& name) {
  OrtTensorTypeAndShapeInfo* info;
  check(api.load()->type_and_shape(value, &info));
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, void (*)(OrtTensorTypeAndShapeInfo*)> owner(
      info, [](OrtTensorTypeAndShapeInfo* each) { api.load()->release_shape(each); });
  int found;
  check(api.load()->element_type(info, &found));
  if (found != type) throw std::invalid_argument(name + ": unexpected element type");
  size_t count;
  check(api.load()->dimension_count(info, &count));
  Tensor tensor;
  tensor.sizes.resize(count);
  check(api.load()->dimensions(info, tensor.sizes.data(), count));
  check(api.load()->tensor_data(const_cast<OrtValue*>(value), &tensor.data));
  return tensor;
}

inline int64_t attribute(const OrtKernelInfo* info, const char* name, int64_t otherwise) {
  int64_t value;
  if (OrtStatus* status = api.load()->int_attribute(info, name, &value)) {
    api.load()->release_status(status);
    return otherwise;
  }
  return value;
}

inline float attribute(const OrtKernelInfo* info, const char* name, float otherwise) {
  float value;
  if (OrtStatus* status = api.load()->float_attribute(info, name, &value)) {
    api.load()->release_status(status);
    return otherwise;
  }
  return value;
}

// The value of an input, or null where it is absent.
inline const OrtValue* input_at(const OrtKernelContext* context, size_t index) {
  const OrtValue* value = nullptr;
  check(api.load()->input(context, index, &value));
  return value;
}

// Memory for an output of those sizes; onnxruntime gives the bound buffer where there is one of that shape.
inline float* output_at(OrtKernelContext* context, size_t index, const std::vector<int64_t>& sizes) {
  OrtValue* value = nullptr;
  check(api.load()->output(context, index, sizes.data(), sizes.size(), &value));
  if (!value) return nullptr;
  void* data;
  check(api.load()->tensor_data(value, &data));
  return static_cast<float*>(data);
}

struct Operator : OrtCustomOp {
  const Kernel* kernel;
};

// An operator of com.microsoft with that kernel; who calls adds its name, inputs, outputs and functions.
inline Operator plain_operator(const Kernel* kernel) {
  Operator op = {};
  op.version = kApiVersion;
  op.kernel = kernel;
  op.execution_provider = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.output_type = [](const OrtCustomOp*, size_t) { return kFloat; };
  op.output_characteristic = [](const OrtCustomOp*, size_t) { return kRequired; };
  op.input_memory = [](const OrtCustomOp*, size_t) { return kDefaultMemory; };
  const auto one = [](const OrtCustomOp*) { return 1; };
  op.variadic_input_least = op.variadic_input_homogeneous = one;
  op.variadic_output_least = op.variadic_output_homogeneous = op.first_version = one;
  op.last_version = [](const OrtCustomOp*) { return 1 << 30; };
  return op;
}

// The operators of this library: MatMulNBits (op.cpp) and GroupQueryAttention (attention_op.cpp).
Operator product_operator(const Kernel* kernel);
Operator attention_operator(const Kernel* kernel);

}  // namespace edgedraft
