// The loop that all instruction sets share. Included after a target pragma, with `Isa` giving the vector operations:
//
//   Ints, Floats          registers of `lanes` int32 or floats
//   layout                how the weights are packed
//   most_rows             rows that one pass over a panel takes
//   block_sums<Bits, Rows>(weights, x, block_size, sums)   exact sums of one block; quad_sums below where four
//                         neighbouring products are one instruction
//
// Everything is in an anonymous namespace: the linker must not take a function compiled for one instruction set for
// another's.
#pragma once

#if defined(__GNUC__)
#define EDGEDRAFT_UNROLL _Pragma("GCC unroll 16")
#define EDGEDRAFT_PREFETCH(address) __builtin_prefetch(address)
#else
#define EDGEDRAFT_UNROLL
#define EDGEDRAFT_PREFETCH(address) (void)(address)
#endif

namespace edgedraft {
namespace {

constexpr int kPrefetchBytes = 2048;  // ahead in the stream of weights; the distance hardly matters

template <class Isa>
constexpr int registers_of() {
  return Isa::layout.columns / Isa::layout.lanes;
}

inline const uint8_t* bytes_at(const float* place) { return reinterpret_cast<const uint8_t*>(place); }

// Addresses behind the last panel are harmless: a prefetch never faults. They are formed as numbers, because a pointer
// past an array's end is not defined.
inline void prefetch_step(const uint8_t* weights, int bytes) {
  const uintptr_t ahead = reinterpret_cast<uintptr_t>(weights) + kPrefetchBytes;
  for (int i = 0; i < bytes; i += 64) EDGEDRAFT_PREFETCH(reinterpret_cast<const void*>(ahead + uintptr_t(i)));
}

// A step is eight neighbouring k: with 4 bits the low and the high halves of the same registers, with 8 bits two sets.
// A row has only two sums in a block, but the CPU runs into the next block, whose sums are new, while it waits for them.
template <class Isa, int Bits, int Rows>
inline void quad_sums(const uint8_t* weights, const int8_t* x, int block_size,
                      typename Isa::Ints (&sums)[Rows][registers_of<Isa>()]) {
  constexpr int registers = registers_of<Isa>(), bytes = Isa::layout.lanes * 4;
  constexpr int step_bytes = registers * bytes * (Bits / 4);
  EDGEDRAFT_UNROLL
  for (int row = 0; row < Rows; ++row) {
    EDGEDRAFT_UNROLL
    for (int r = 0; r < registers; ++r) sums[row][r] = typename Isa::Ints{};
  }
  for (int k = 0; k < block_size; k += 8, weights += step_bytes) {
    prefetch_step(weights, step_bytes);
    EDGEDRAFT_UNROLL
    for (int half = 0; half < 2; ++half) {
      typename Isa::Ints quads[registers];
      EDGEDRAFT_UNROLL
      for (int r = 0; r < registers; ++r) {
        const uint8_t* place = weights + (Bits == 4 ? r : half * registers + r) * bytes;
        quads[r] = Bits == 8 ? Isa::load(place) : half ? Isa::high(Isa::load(place)) : Isa::low(Isa::load(place));
      }
      EDGEDRAFT_UNROLL
      for (int row = 0; row < Rows; ++row) {
        const typename Isa::Ints values = Isa::broadcast(x + row * block_size + k + 4 * half);
        EDGEDRAFT_UNROLL
        for (int r = 0; r < registers; ++r) sums[row][r] = Isa::dot(sums[row][r], quads[r], values);
      }
    }
  }
}

// Adds one block to the totals: the one place where numbers are rounded, in the order that kernel.h states.
template <class Isa, int Rows>
inline void add_block(typename Isa::Floats (&totals)[Rows][registers_of<Isa>()],
                      const typename Isa::Ints (&sums)[Rows][registers_of<Isa>()], const uint8_t* scales,
                      const typename Isa::Floats (&zeros)[registers_of<Isa>()], const float* x_scales,
                      const float* x_sums) {
  constexpr int registers = registers_of<Isa>();
  EDGEDRAFT_UNROLL
  for (int r = 0; r < registers; ++r) {
    const typename Isa::Floats scale = Isa::load_floats(scales + r * Isa::layout.lanes * sizeof(float));
    EDGEDRAFT_UNROLL
    for (int row = 0; row < Rows; ++row) {
      // Exact: the sum, the product and their difference are integers below 2^24.
      const auto exact = Isa::minus_product(Isa::to_floats(sums[row][r]), zeros[r], Isa::all(x_sums[row]));
      totals[row][r] = Isa::plus_product(totals[row][r], exact, Isa::times(scale, Isa::all(x_scales[row])));
    }
  }
}

template <class Isa, int Rows>
inline void store_rows(const typename Isa::Floats (&totals)[Rows][registers_of<Isa>()], int64_t columns, float* y,
                       int64_t stride) {
  constexpr int lanes = Isa::layout.lanes, registers = registers_of<Isa>();
  for (int row = 0; row < Rows; ++row) {
    alignas(64) float whole[Isa::layout.columns];
    float* target = columns == Isa::layout.columns ? y + row * stride : whole;
    for (int r = 0; r < registers; ++r) Isa::store(target + r * lanes, totals[row][r]);
    if (target == whole) std::memcpy(y + row * stride, whole, size_t(columns) * sizeof(float));
  }
}

template <class Isa, int Bits, int Rows>
void multiply_panel(const Weights& w, const Activations& x, int64_t panel, int64_t first_row, float* y) {
  constexpr int registers = registers_of<Isa>(), lanes = Isa::layout.lanes, columns = Isa::layout.columns;
  const Shape& shape = w.shape;
  const int64_t blocks = shape.blocks();
  const uint8_t* stream = w.panels + panel * panel_bytes(shape, Isa::layout);
  const uint8_t* zero_points = stream + blocks * packed_block_bytes(shape, Isa::layout);
  typename Isa::Floats totals[Rows][registers], zeros[registers];
  for (int r = 0; r < registers; ++r) {
    zeros[r] = Isa::all(Isa::layout.signed_bytes && Bits == 8 ? 0.0f : float(1 << (Bits - 1)));
    const auto begin = w.bias ? Isa::load_floats(bytes_at(w.bias + panel * columns + r * lanes)) : Isa::all(0.0f);
    for (int row = 0; row < Rows; ++row) totals[row][r] = begin;
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t place = block * x.rows + first_row;
    typename Isa::Ints sums[Rows][registers];
    Isa::template block_sums<Bits, Rows>(stream, x.values + place * shape.block_size, shape.block_size, sums);
    stream += columns * shape.block_bytes();
    if (shape.zero_points) {
      for (int r = 0; r < registers; ++r) {
        zeros[r] = Isa::template zero_points<Bits>(zero_points + block * columns + r * lanes);
      }
    }
    add_block<Isa, Rows>(totals, sums, stream, zeros, x.scales + place, x.sums + place);
    stream += columns * sizeof(float);
  }
  const int64_t left = shape.columns - panel * columns;
  store_rows<Isa, Rows>(totals, left < columns ? left : columns, y + first_row * shape.columns + panel * columns,
                        shape.columns);
}

// Rows are cut into passes of nearly equal size: five rows are three and two rather than four and one.
template <class Isa, int Bits, int... Rows>
void multiply_panels(const Weights& w, const Activations& x, int64_t first, int64_t last, float* y,
                     std::integer_sequence<int, Rows...>) {
  using Pass = void (*)(const Weights&, const Activations&, int64_t, int64_t, float*);
  constexpr Pass passes[] = {multiply_panel<Isa, Bits, Rows + 1>...};
  constexpr int64_t most = sizeof...(Rows);
  for (int64_t panel = first; panel < last; ++panel) {
    for (int64_t row = 0; row < x.rows;) {
      const int64_t left = x.rows - row, parts = (left + most - 1) / most, rows = (left + parts - 1) / parts;
      passes[rows - 1](w, x, panel, row, y);
      row += rows;
    }
  }
}

template <class Isa>
void multiply(const Weights& w, const Activations& x, int64_t first, int64_t last, float* y) {
  const auto rows = std::make_integer_sequence<int, Isa::most_rows>();
  if (w.shape.bits == 4) {
    multiply_panels<Isa, 4>(w, x, first, last, y, rows);
  } else {
    multiply_panels<Isa, 8>(w, x, first, last, y, rows);
  }
}

}  // namespace
}  // namespace edgedraft
