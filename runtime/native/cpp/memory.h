// Memory for packed weights, on huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedraft {

// Returns `bytes` of memory that begins on a cache line; throws std::bad_alloc where there is none.
uint8_t* take_memory(size_t bytes);

void release_memory(uint8_t* place, size_t bytes);

// Lets the system drop the pages of a file that lie in this range: they are read again if anyone looks. Does nothing
// where the range is not a mapped file.
void give_back_file_pages(const void* place, size_t bytes);

}  // namespace edgedraft
