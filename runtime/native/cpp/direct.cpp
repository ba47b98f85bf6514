// Plain C functions beside onnxruntime: which kernels there are, and one product without a session, for tests.
#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "exported.h"
#include "matrix.h"

namespace {

void copy_text(const std::string& text, char* out, size_t size) {
  const size_t length = std::min(text.size(), size - 1);
  std::memcpy(out, text.data(), length);
  out[length] = 0;
}

}  // namespace

// The name of the kernel at `index`, the best first; null behind the last one.
EDGEDRAFT_EXPORT const char* edgedraft_kernel_name(int index) {
  const edgedraft::Kernel* kernel = edgedraft::kKernels[index];
  return kernel ? kernel->name : nullptr;
}

EDGEDRAFT_EXPORT int edgedraft_kernel_runs_here(const char* name) {
  const edgedraft::Kernel* kernel = edgedraft::kernel_named(name);
  return kernel && kernel->runs_here();
}

// For sessions that this thread opens: a kernel's name, "auto", "stock", or "" to follow the environment again.
EDGEDRAFT_EXPORT void edgedraft_prefer_kernel(const char* name) { edgedraft::prefer_kernel(name); }

// Writes the name of the kernel that new sessions get, or "stock". Returns 0, or 1 with an error message instead.
EDGEDRAFT_EXPORT int edgedraft_chosen_kernel(char* text, size_t size) {
  try {
    const edgedraft::Kernel* kernel = edgedraft::chosen_kernel();
    copy_text(kernel ? kernel->name : "stock", text, size);
    return 0;
  } catch (const std::exception& error) {
    copy_text(error.what(), text, size);
    return 1;
  }
}

// y = x times the matrix, with the named kernel, in two parts each as threads would do it. Returns 0, or 1 with a message.
EDGEDRAFT_EXPORT int edgedraft_multiply(const char* name, const edgedraft::RawMatrix* raw, const float* x, int64_t rows,
                                        float* y, char* message, size_t size) {
  using namespace edgedraft;
  try {
    const Kernel* kernel = kernel_named(name);
    if (!kernel || !kernel->runs_here()) throw std::invalid_argument("no such kernel here");
    const Matrix matrix(*kernel, *raw);
    ActivationBuffer buffer;
    const Activations& activations = buffer.prepare(matrix.shape(), rows);
    const int64_t half = rows / 2, middle = matrix.panels() / 2;
    matrix.kernel().quantize(matrix.shape(), x, 0, half, activations);
    matrix.kernel().quantize(matrix.shape(), x, half, rows, activations);
    matrix.kernel().multiply(matrix.weights(), activations, 0, middle, y);
    matrix.kernel().multiply(matrix.weights(), activations, middle, matrix.panels(), y);
    return 0;
  } catch (const std::exception& error) {
    copy_text(error.what(), message, size);
    return 1;
  }
}
