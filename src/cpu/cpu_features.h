// Applies a processor model to what CPUID says.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <functional>

#include "config/cpu_model.h"

namespace alcove::cpu {

struct CpuidWords {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  bool operator==(const CpuidWords&) const = default;
};

// Removes what the model does not have. `emulated`: the software engine's processor, of which nothing but
// instructions depends on the host's.
class CpuidFilter {
 public:
  CpuidFilter() = default;
  CpuidFilter(const config::CpuModel& model, bool emulated);

  void apply(uint32_t leaf, uint32_t subleaf, CpuidWords& words) const;

 private:
  bool active_ = false;
  bool only_listed_ = false;  // Bits that are no known feature go, too.
  config::CpuModel::Features allowed_;
};

// How many bits physical addresses have, by leaf 80000008: those of a guest, if it tells of any, are no more
// than those of the processor. 36, as for any 64-bit processor, if it tells of nothing.
unsigned physical_address_bits(const CpuidWords& leaf);

// An error naming what the model needs and the hypervisor has not. `cpuid` gives what it has.
Result<> check_cpu_model(const config::CpuModel& model,
                         const std::function<CpuidWords(uint32_t leaf, uint32_t subleaf)>& cpuid);

}  // namespace alcove::cpu
