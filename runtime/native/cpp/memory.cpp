#include "memory.h"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <mutex>
#include <vector>
#endif

namespace edgedraft {

#if defined(__linux__)
namespace {

constexpr size_t kHuge = size_t(2) << 20, kChunk = size_t(64) << 20;

// Matrices share chunks: one huge page each would waste a megabyte a matrix. A chunk goes when its last matrix does.
struct Chunk {
  uint8_t* begin;
  size_t bytes;
  size_t used;
  size_t users;
};

std::mutex guard;

std::vector<Chunk>& chunks() {
  static auto* all = new std::vector<Chunk>;  // never destroyed: sessions may outlive static objects
  return *all;
}

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Maps more than is needed and returns what lies outside the aligned part.
Chunk new_chunk(size_t bytes) {
  const size_t whole = bytes + kHuge;
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<uint8_t*>(mapped);
  auto* begin = reinterpret_cast<uint8_t*>(rounded(reinterpret_cast<uintptr_t>(start), kHuge));
  if (begin > start) munmap(start, size_t(begin - start));
  if (begin + bytes < start + whole) munmap(begin + bytes, size_t(start + whole - (begin + bytes)));
  madvise(begin, bytes, MADV_HUGEPAGE);  // a refusal is the system's right
  return {begin, bytes, 0, 0};
}

bool is_mapped_file(uintptr_t begin, uintptr_t end) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (!maps) return false;
  bool found = false;
  char line[512];
  while (!found && std::fgets(line, sizeof line, maps)) {
    uintptr_t first, last;
    uint64_t inode;
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %" SCNu64, &first, &last, &inode) != 3) continue;
    found = inode != 0 && first <= begin && end <= last;
  }
  std::fclose(maps);
  return found;
}

}  // namespace

uint8_t* take_memory(size_t bytes) {
  bytes = rounded(bytes, 64);
  const std::lock_guard<std::mutex> lock(guard);
  auto room = std::find_if(chunks().begin(), chunks().end(),
                           [bytes](const Chunk& chunk) { return chunk.bytes - chunk.used >= bytes; });
  if (room == chunks().end()) {
    chunks().reserve(chunks().size() + 1);  // before the mapping, which a failure here would leak
    chunks().push_back(new_chunk(rounded(std::max(bytes, kChunk), kHuge)));
    room = chunks().end() - 1;
  }
  uint8_t* place = room->begin + room->used;
  room->used += bytes;
  ++room->users;
  return place;
}

void release_memory(uint8_t* place, size_t) {
  const std::lock_guard<std::mutex> lock(guard);
  const auto home = std::find_if(chunks().begin(), chunks().end(), [place](const Chunk& chunk) {
    return chunk.begin <= place && place < chunk.begin + chunk.bytes;
  });
  if (--home->users > 0) return;
  munmap(home->begin, home->bytes);
  chunks().erase(home);
}

void give_back_file_pages(const void* place, size_t bytes) {
  const auto page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = rounded(reinterpret_cast<uintptr_t>(place), page);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(place) + bytes) / page * page;
  if (begin < end && is_mapped_file(begin, end)) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

#else

uint8_t* take_memory(size_t bytes) { return static_cast<uint8_t*>(::operator new(bytes, std::align_val_t(64))); }

void release_memory(uint8_t* place, size_t) { ::operator delete(place, std::align_val_t(64)); }

void give_back_file_pages(const void*, size_t) {}

#endif

}  // namespace edgedraft
