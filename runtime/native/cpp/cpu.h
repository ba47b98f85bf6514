// Which instruction sets this CPU and its operating system offer.
#pragma once

// Which Arm kernels this compiler can build: before version 16, clang declares the instructions of newer CPUs only to
// code that may use them everywhere.
#if defined(__aarch64__)
#if !defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_DOTPROD)
#define EDGEDRAFT_DOTPROD 1
#endif
#if !defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_MATMUL_INT8)
#define EDGEDRAFT_I8MM 1
#endif
#endif

namespace edgedraft {

bool cpu_has_avx2();        // with FMA
bool cpu_has_avxvnni();     // 256 bits, with AVX2
bool cpu_has_avx512vnni();  // with the F, BW and VL parts
bool cpu_has_dotprod();
bool cpu_has_i8mm();

}  // namespace edgedraft
