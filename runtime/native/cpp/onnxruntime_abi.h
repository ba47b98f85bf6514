// The part of onnxruntime's C interface that a custom operator needs, declared here because its wheels ship no headers.
//
// `OrtApi` is a table of function pointers that only ever grows at its end, so a slot keeps its number for ever. The
// slots that are not used stay nameless. Numbers and signatures are those of onnxruntime_c_api.h.
#pragma once

#include <cstddef>
#include <cstdint>

struct OrtCustomOp;
struct OrtStatus;
struct OrtValue;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtTensorTypeAndShapeInfo;
struct OrtShapeInferContext;

namespace edgedraft {

constexpr uint32_t kApiVersion = 22;  // any onnxruntime from 1.22 on gives it

constexpr int kInvalidArgument = 2, kFail = 1;                 // OrtErrorCode
constexpr int kFloat = 1, kUint8 = 2, kInt32 = 6, kInt64 = 7;              // ONNXTensorElementDataType
constexpr int kRequired = 0, kOptional = 1;                    // OrtCustomOpInputOutputCharacteristic
constexpr int kDefaultMemory = 0;                              // OrtMemType

using Slot = void (*)();

// Gives a slot of the table its type.
template <class Function>
Function as(Slot slot) {
  return reinterpret_cast<Function>(slot);
}

struct OrtApi {
  Slot slots[275];

  OrtStatus* create_status(int code, const char* message) const {
    return as<OrtStatus* (*)(int, const char*)>(slots[0])(code, message);
  }
  const char* error_message(const OrtStatus* status) const {
    return as<const char* (*)(const OrtStatus*)>(slots[2])(status);
  }
  OrtStatus* create_domain(const char* name, OrtCustomOpDomain** domain) const {
    return as<OrtStatus* (*)(const char*, OrtCustomOpDomain**)>(slots[26])(name, domain);
  }
  OrtStatus* add_op(OrtCustomOpDomain* domain, const OrtCustomOp* op) const {
    return as<OrtStatus* (*)(OrtCustomOpDomain*, const OrtCustomOp*)>(slots[27])(domain, op);
  }
  OrtStatus* add_domain(OrtSessionOptions* options, OrtCustomOpDomain* domain) const {
    return as<OrtStatus* (*)(OrtSessionOptions*, OrtCustomOpDomain*)>(slots[28])(options, domain);
  }
  OrtStatus* tensor_data(OrtValue* value, void** data) const {
    return as<OrtStatus* (*)(OrtValue*, void**)>(slots[51])(value, data);
  }
  OrtStatus* element_type(const OrtTensorTypeAndShapeInfo* info, int* type) const {
    return as<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, int*)>(slots[60])(info, type);
  }
  OrtStatus* dimension_count(const OrtTensorTypeAndShapeInfo* info, size_t* count) const {
    return as<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, size_t*)>(slots[61])(info, count);
  }
  OrtStatus* dimensions(const OrtTensorTypeAndShapeInfo* info, int64_t* sizes, size_t count) const {
    return as<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, int64_t*, size_t)>(slots[62])(info, sizes, count);
  }
  OrtStatus* type_and_shape(const OrtValue* value, OrtTensorTypeAndShapeInfo** info) const {
    return as<OrtStatus* (*)(const OrtValue*, OrtTensorTypeAndShapeInfo**)>(slots[65])(value, info);
  }
  OrtStatus* float_attribute(const OrtKernelInfo* info, const char* name, float* value) const {
    return as<OrtStatus* (*)(const OrtKernelInfo*, const char*, float*)>(slots[85])(info, name, value);
  }
  OrtStatus* int_attribute(const OrtKernelInfo* info, const char* name, int64_t* value) const {
    return as<OrtStatus* (*)(const OrtKernelInfo*, const char*, int64_t*)>(slots[86])(info, name, value);
  }
  OrtStatus* input_count(const OrtKernelContext* context, size_t* count) const {
    return as<OrtStatus* (*)(const OrtKernelContext*, size_t*)>(slots[88])(context, count);
  }
  OrtStatus* input(const OrtKernelContext* context, size_t index, const OrtValue** value) const {
    return as<OrtStatus* (*)(const OrtKernelContext*, size_t, const OrtValue**)>(slots[90])(context, index, value);
  }
  OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* sizes, size_t count,
                    OrtValue** value) const {
    using Function = OrtStatus* (*)(OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**);
    return as<Function>(slots[91])(context, index, sizes, count, value);
  }
  void release_status(OrtStatus* status) const { as<void (*)(OrtStatus*)>(slots[93])(status); }
  void release_shape(OrtTensorTypeAndShapeInfo* info) const {
    as<void (*)(OrtTensorTypeAndShapeInfo*)>(slots[99])(info);
  }
  OrtStatus* declared_input_count(const OrtKernelInfo* info, size_t* count) const {
    return as<OrtStatus* (*)(const OrtKernelInfo*, size_t*)>(slots[230])(info, count);
  }
  OrtStatus* constant_input(const OrtKernelInfo* info, size_t index, int* constant, const OrtValue** value) const {
    using Function = OrtStatus* (*)(const OrtKernelInfo*, size_t, int*, const OrtValue**);
    return as<Function>(slots[249])(info, index, constant, value);
  }
  // Calls `task(data, i)` for every i below `total` on the session's own threads; returns when all are done.
  OrtStatus* parallel_for(const OrtKernelContext* context, void (*task)(void*, size_t), size_t total,
                          void* data) const {
    using Function = OrtStatus* (*)(const OrtKernelContext*, void (*)(void*, size_t), size_t, size_t, void*);
    return as<Function>(slots[274])(context, task, total, 0, data);
  }
};

}  // namespace edgedraft

struct OrtApiBase {
  const edgedraft::OrtApi* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

// What onnxruntime asks of an operator. A null pointer stands for "not offered".
struct OrtCustomOp {
  uint32_t version;
  void* (*create_kernel)(const OrtCustomOp*, const edgedraft::OrtApi*, const OrtKernelInfo*);
  const char* (*name)(const OrtCustomOp*);
  const char* (*execution_provider)(const OrtCustomOp*);
  int (*input_type)(const OrtCustomOp*, size_t);
  size_t (*input_count)(const OrtCustomOp*);
  int (*output_type)(const OrtCustomOp*, size_t);
  size_t (*output_count)(const OrtCustomOp*);
  void (*compute)(void*, OrtKernelContext*);
  void (*destroy)(void*);
  int (*input_characteristic)(const OrtCustomOp*, size_t);
  int (*output_characteristic)(const OrtCustomOp*, size_t);
  int (*input_memory)(const OrtCustomOp*, size_t);
  int (*variadic_input_least)(const OrtCustomOp*);
  int (*variadic_input_homogeneous)(const OrtCustomOp*);
  int (*variadic_output_least)(const OrtCustomOp*);
  int (*variadic_output_homogeneous)(const OrtCustomOp*);
  OrtStatus* (*create_kernel_v2)(const OrtCustomOp*, const edgedraft::OrtApi*, const OrtKernelInfo*, void**);
  OrtStatus* (*compute_v2)(void*, OrtKernelContext*);
  OrtStatus* (*infer_shapes)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*first_version)(const OrtCustomOp*);
  int (*last_version)(const OrtCustomOp*);
  size_t (*may_inplace)(int**, int**);
  void (*release_may_inplace)(int*, int*);
  size_t (*alias_map)(int**, int**);
  void (*release_alias_map)(int*, int*);
};
