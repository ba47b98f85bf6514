// Which kernels were compiled for this processor family, and which of them new sessions use.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu.h"
#include "kernel.h"

namespace edgedraft {

#if defined(__x86_64__) || defined(_M_X64)
extern const Kernel kAvx512Vnni, kAvxVnni, kAvx2;
const Kernel* const kKernels[] = {&kAvx512Vnni, &kAvxVnni, &kAvx2, &kPortable, nullptr};
#else
extern const Kernel kI8mm, kDotProd;
const Kernel* const kKernels[] = {
#if defined(EDGEDRAFT_I8MM)
    &kI8mm,
#endif
#if defined(EDGEDRAFT_DOTPROD)
    &kDotProd,
#endif
    &kPortable, nullptr};
#endif

const Kernel* kernel_named(const char* name) {
  for (const Kernel* const* kernel = kKernels; *kernel; ++kernel) {
    if (std::strcmp((*kernel)->name, name) == 0) return *kernel;
  }
  return nullptr;
}

namespace {

const Kernel* best_kernel() {
  for (const Kernel* const* kernel = kKernels; *kernel != &kPortable; ++kernel) {
    if ((*kernel)->runs_here()) return *kernel;
  }
  return nullptr;  // onnxruntime's own kernels are faster than the portable one
}

std::string names() {
  std::string text = "auto, stock";
  for (const Kernel* const* kernel = kKernels; *kernel; ++kernel) text += std::string(", ") + (*kernel)->name;
  return text;
}

thread_local std::string setting_of_thread;

const char* setting_name() {
  if (!setting_of_thread.empty()) return setting_of_thread.c_str();
  const char* setting = std::getenv("EDGEDRAFT_KERNELS");
  return setting && *setting ? setting : "auto";
}

}  // namespace

void prefer_kernel(const char* name) { setting_of_thread = name; }

const Kernel* chosen_kernel() {
  const char* setting = setting_name();
  if (std::strcmp(setting, "auto") == 0) return best_kernel();
  if (std::strcmp(setting, "stock") == 0) return nullptr;
  const Kernel* kernel = kernel_named(setting);
  if (!kernel) {
    throw std::invalid_argument("kernels: expected one of " + names() + ", got " + setting);
  }
  if (!kernel->runs_here()) {
    throw std::invalid_argument(std::string("kernels: this CPU lacks what ") + setting + " needs");
  }
  return kernel;
}

}  // namespace edgedraft
