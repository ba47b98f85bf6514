#include "cpu.h"

#include <cstddef>
#include <cstdint>

#if defined(_MSC_VER)
#include <intrin.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace edgedraft {

#if defined(__x86_64__) || defined(_M_X64)
namespace {

struct Leaf {
  uint32_t eax, ebx, ecx, edx;
};

Leaf leaf_of(uint32_t number, uint32_t part) {
  Leaf leaf = {};
#if defined(_MSC_VER)
  int out[4];
  __cpuid(out, 0);
  if (uint32_t(out[0]) < number) return leaf;
  __cpuidex(out, int(number), int(part));
  leaf = {uint32_t(out[0]), uint32_t(out[1]), uint32_t(out[2]), uint32_t(out[3])};
#else
  __get_cpuid_count(number, part, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx);
#endif
  return leaf;
}

bool bit(uint32_t bits, int number) { return bits >> number & 1; }

// The registers that the operating system saves when it switches threads; without it, they may not be used.
uint64_t saved_registers() {
  if (!bit(leaf_of(1, 0).ecx, 27)) return 0;
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
#endif
}

constexpr uint64_t kAvxRegisters = 0x06, kAvx512Registers = 0xe6;

bool saves(uint64_t registers) { return (saved_registers() & registers) == registers; }

}  // namespace

bool cpu_has_avx2() {
  const bool fma = bit(leaf_of(1, 0).ecx, 12);
  return fma && bit(leaf_of(7, 0).ebx, 5) && saves(kAvxRegisters);
}

bool cpu_has_avxvnni() { return cpu_has_avx2() && bit(leaf_of(7, 1).eax, 4); }

bool cpu_has_avx512vnni() {
  const Leaf leaf = leaf_of(7, 0);
  const bool foundation = bit(leaf.ebx, 16), bytes = bit(leaf.ebx, 30), short_registers = bit(leaf.ebx, 31);
  return foundation && bytes && short_registers && bit(leaf.ecx, 11) && saves(kAvx512Registers);
}

#elif defined(__aarch64__) && defined(__linux__)

bool cpu_has_dotprod() { return getauxval(AT_HWCAP) >> 20 & 1; }
bool cpu_has_i8mm() { return getauxval(AT_HWCAP2) >> 13 & 1; }

#elif defined(__aarch64__) && defined(__APPLE__)
namespace {

bool offers(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace

bool cpu_has_dotprod() { return offers("hw.optional.arm.FEAT_DotProd"); }
bool cpu_has_i8mm() { return offers("hw.optional.arm.FEAT_I8MM"); }

#elif defined(__aarch64__)

bool cpu_has_dotprod() { return false; }
bool cpu_has_i8mm() { return false; }

#endif

}  // namespace edgedraft
