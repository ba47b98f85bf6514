#include "attention.h"

#include <vector>

namespace edgedraft {

float* attention_memory(size_t floats) {
  static thread_local std::vector<float> memory;
  if (memory.size() < floats) memory.resize(floats);
  return memory.data();
}

}  // namespace edgedraft
