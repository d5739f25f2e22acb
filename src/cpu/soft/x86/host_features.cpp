#include "cpu/soft/x86/host_features.h"

#include <array>
#include <cstdint>

#include "cpu/soft/x86/cpuid.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace alcove::cpu::soft {

#if defined(__x86_64__)

bool host_has(std::string_view name) {
  for (const CpuFeature& feature : cpu_features()) {
    if (feature.name != name) continue;
    std::array<unsigned, 4> words{};
    if (!__get_cpuid_count(feature.leaf, feature.subleaf, &words[0], &words[1], &words[2], &words[3]))
      return false;
    return words[static_cast<size_t>(feature.reg)] >> feature.bit & 1;
  }
  return false;
}

bool host_runs_avx() {
  static const bool runs = [] {
    if (!host_has("avx") || !host_has("avx2")) return false;
    unsigned eax, ebx, ecx, edx;
    constexpr unsigned kOsxsave = 1u << 27;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & kOsxsave)) return false;
    asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    constexpr uint32_t kNeeded = kXcr0X87 | kXcr0Avx;
    return (eax & kNeeded) == kNeeded;
  }();
  return runs;
}

#else

bool host_has(std::string_view) {
  return false;
}
bool host_runs_avx() {
  return false;
}

#endif

}  // namespace alcove::cpu::soft
