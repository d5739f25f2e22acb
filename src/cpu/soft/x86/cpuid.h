// The processor model "Alcove": what CPUID says, and which features that promises.
//
// It introduces itself as an in-order Intel core of family 6, model 54: stock kernels know that such a core
// does not speculate and so leave all their mitigations out, which this engine needs as little as it does.
// Every other ability is told by its own bit.
#pragma once

#include <cstdint>
#include <span>

#include "cpu/soft/mmu/walk.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

inline constexpr uint32_t kCpuSignature = 0x30661;  // Family 6, model 54, stepping 1.

struct CpuidResult {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidResult cpuid(const Cpu& cpu, uint32_t leaf, uint32_t subleaf);

enum class CpuidRegister : uint8_t { eax, ebx, ecx, edx };

struct CpuFeature {
  const char* name;  // As /proc/cpuinfo has it, and Row::feature.
  uint32_t leaf;
  CpuidRegister reg;
  uint8_t bit;
  uint8_t subleaf = 0;
  bool of_host = false;  // Only where the host has it, too: it executes such instructions itself.
};

// What XSETBV accepts.
uint64_t supported_xcr0();

// All that the model may have; a bit is set for nothing else.
std::span<const CpuFeature> cpu_features();

}  // namespace alcove::cpu::soft
