// Which instruction sets this CPU and its operating system offer.
#pragma once

namespace edgedraft {

bool cpu_has_avx2();        // with FMA
bool cpu_has_avxvnni();     // 256 bits, with AVX2
bool cpu_has_avx512vnni();  // with the F, BW and VL parts
bool cpu_has_dotprod();
bool cpu_has_i8mm();

}  // namespace edgedraft
