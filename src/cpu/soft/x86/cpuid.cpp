#include "cpu/soft/x86/cpuid.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/x86/host_features.h"

namespace alcove::cpu::soft {
namespace {

using enum CpuidRegister;

// Without SMAP: what a supervisor may touch would change with each STAC and CLAC, of which kernels make
// several in every system call, and with it what translated code may find in the FlatMap.
constexpr CpuFeature kFeatures[] = {
    {"sse3", 1, ecx, 0},
    {"pclmulqdq", 1, ecx, 1},
    {"ssse3", 1, ecx, 9},
    {"fma", 1, ecx, 12, 0, true},
    {"cx16", 1, ecx, 13},
    {"pcid", 1, ecx, 17},
    {"sse4_1", 1, ecx, 19},
    {"sse4_2", 1, ecx, 20},
    {"x2apic", 1, ecx, 21},
    {"movbe", 1, ecx, 22, 0, true},
    {"popcnt", 1, ecx, 23},
    {"tsc_deadline_timer", 1, ecx, 24},
    {"aes", 1, ecx, 25},
    {"xsave", 1, ecx, 26},
    {"avx", 1, ecx, 28, 0, true},
    {"f16c", 1, ecx, 29, 0, true},
    {"rdrand", 1, ecx, 30},
    {"hypervisor", 1, ecx, 31},

    {"fpu", 1, edx, 0},
    {"de", 1, edx, 2},
    {"pse", 1, edx, 3},
    {"tsc", 1, edx, 4},
    {"msr", 1, edx, 5},
    {"pae", 1, edx, 6},
    {"mce", 1, edx, 7},
    {"cx8", 1, edx, 8},
    {"apic", 1, edx, 9},
    {"sep", 1, edx, 11},
    {"mtrr", 1, edx, 12},
    {"pge", 1, edx, 13},
    {"mca", 1, edx, 14},
    {"cmov", 1, edx, 15},
    {"pat", 1, edx, 16},
    {"pse36", 1, edx, 17},
    {"clflush", 1, edx, 19},
    {"mmx", 1, edx, 23},
    {"fxsr", 1, edx, 24},
    {"sse", 1, edx, 25},
    {"sse2", 1, edx, 26},
    {"ss", 1, edx, 27},

    {"arat", 6, eax, 2},

    {"fsgsbase", 7, ebx, 0},
    {"tsc_adjust", 7, ebx, 1},
    {"bmi1", 7, ebx, 3, 0, true},
    {"avx2", 7, ebx, 5, 0, true},
    {"smep", 7, ebx, 7},
    {"bmi2", 7, ebx, 8, 0, true},
    {"erms", 7, ebx, 9},
    {"invpcid", 7, ebx, 10},
    {"rdseed", 7, ebx, 18},
    {"adx", 7, ebx, 19, 0, true},
    {"clflushopt", 7, ebx, 23},
    {"clwb", 7, ebx, 24},
    {"sha_ni", 7, ebx, 29, 0, true},
    {"umip", 7, ecx, 2},
    {"rdpid", 7, ecx, 22},
    {"fsrm", 7, edx, 4},
    {"serialize", 7, edx, 14},
    {"arch_capabilities", 7, edx, 29},

    {"xsaveopt", 0xd, eax, 0, 1},
    {"xsavec", 0xd, eax, 1, 1},
    {"xgetbv1", 0xd, eax, 2, 1},

    {"lahf_lm", 0x80000001, ecx, 0},
    {"abm", 0x80000001, ecx, 5, 0, true},
    {"3dnowprefetch", 0x80000001, ecx, 8},
    {"syscall", 0x80000001, edx, 11},
    {"nx", 0x80000001, edx, 20},
    {"pdpe1gb", 0x80000001, edx, 26},
    {"rdtscp", 0x80000001, edx, 27},
    {"lm", 0x80000001, edx, 29},

    {"constant_tsc", 0x80000007, edx, 8},

    {"kvm_clocksource", 0x40000001, eax, 0},
    {"kvm_nopiodelay", 0x40000001, eax, 1},
    {"kvm_clocksource2", 0x40000001, eax, 3},
    {"kvm_steal_time", 0x40000001, eax, 5},
    {"kvm_pv_eoi", 0x40000001, eax, 6},
    {"kvm_pv_unhalt", 0x40000001, eax, 7},
    {"kvm_pv_tlb_flush", 0x40000001, eax, 9},
    {"kvm_pv_ipi", 0x40000001, eax, 11},
    {"kvm_poll_control", 0x40000001, eax, 12},
    {"kvm_clocksource_stable", 0x40000001, eax, 24},
};

uint32_t& member(CpuidResult& result, CpuidRegister reg) {
  switch (reg) {
    case eax:
      return result.eax;
    case ebx:
      return result.ebx;
    case ecx:
      return result.ecx;
    default:
      return result.edx;
  }
}

constexpr uint32_t kHighestLeaf = 0xd, kHighestKvmLeaf = 0x40000001, kHighestExtendedLeaf = 0x80000008;

// Without the host's AVX nothing that works on the same registers.
bool is_promised(const CpuFeature& feature) {
  if (!feature.of_host) return true;
  constexpr std::string_view kOfAvx[] = {"avx", "avx2", "f16c", "fma", "sha_ni"};
  const bool of_avx = std::ranges::find(kOfAvx, feature.name) != std::end(kOfAvx);
  return (!of_avx || host_runs_avx()) && host_has(feature.name);
}

void add_features(CpuidResult& result, uint32_t leaf, uint32_t subleaf) {
  static const auto promised = [] {
    std::vector<CpuFeature> features;
    std::ranges::copy_if(kFeatures, std::back_inserter(features), is_promised);
    return features;
  }();
  for (const CpuFeature& feature : promised)
    if (feature.leaf == leaf && feature.subleaf == subleaf) member(result, feature.reg) |= 1u << feature.bit;
}

// Leaf 0DH: the components of XSAVE and their places (SDM vol. 1, 13.4).
CpuidResult state_components(const Cpu& cpu, uint32_t subleaf) {
  constexpr uint32_t kLegacySize = 576, kUpperSize = 256;
  const auto size = [](uint64_t components) {
    return components & kXcr0Upper ? kLegacySize + kUpperSize : kLegacySize;
  };
  CpuidResult result;
  if (subleaf == 0)
    result = {
        .eax = static_cast<uint32_t>(supported_xcr0()), .ebx = size(cpu.xcr0), .ecx = size(supported_xcr0())};
  else if (subleaf == 1)
    result = {.ebx = size(cpu.xcr0)};
  else if (subleaf == 2 && (supported_xcr0() & kXcr0Upper))
    result = {.eax = kUpperSize, .ebx = kLegacySize};
  return result;
}

CpuidResult words(const char (&text)[17]) {
  CpuidResult result;
  std::memcpy(&result, text, sizeof result);
  return result;
}

// "EBX EDX ECX" of leaf 0.
CpuidResult vendor() {
  CpuidResult result{.eax = kHighestLeaf};
  std::memcpy(&result.ebx, "Genu", 4);
  std::memcpy(&result.edx, "ineI", 4);
  std::memcpy(&result.ecx, "ntel", 4);
  return result;
}

struct Cache {
  uint32_t type;  // 1 data, 2 instructions, 3 both.
  uint32_t level;
  uint32_t ways;
  uint32_t sets;
  bool shared;  // By all processors.
};
constexpr Cache kCaches[] = {
    {1, 1, 8, 64, false}, {2, 1, 8, 64, false}, {3, 2, 16, 1024, false}, {3, 3, 16, 16384, true}};

// Leaf 4: lines of 64 bytes.
CpuidResult cache(uint32_t index, unsigned cpu_count) {
  if (index >= std::size(kCaches)) return {};
  const Cache& cache = kCaches[index];
  const uint32_t id_space = std::bit_ceil(cpu_count) - 1;
  return {.eax = cache.type | cache.level << 5 | 1u << 8 | (cache.shared ? id_space << 14 : 0) |
                 (id_space & 63) << 26,
          .ebx = 63 | (cache.ways - 1) << 22,
          .ecx = cache.sets - 1};
}

// Leaf 0BH: one thread in each core, all cores in one package.
CpuidResult topology(uint32_t level, unsigned cpu_count, uint32_t id) {
  CpuidResult result{.ecx = level & 0xff, .edx = id};
  if (level == 0) {
    result.ebx = 1;
    result.ecx |= 1 << 8;
  } else if (level == 1) {
    result.eax = static_cast<uint32_t>(std::bit_width(cpu_count - 1));
    result.ebx = cpu_count;
    result.ecx |= 2 << 8;
  }
  return result;
}

}  // namespace

std::span<const CpuFeature> cpu_features() {
  return kFeatures;
}

uint64_t supported_xcr0() {
  return kXcr0X87 | kXcr0Sse | (host_runs_avx() ? kXcr0Upper : 0);
}

CpuidResult cpuid(const Cpu& cpu, uint32_t leaf, uint32_t subleaf) {
  // Beyond the highest: the data of the highest basic leaf, as Intel's processors do.
  const uint32_t highest = leaf >= 0x80000000   ? kHighestExtendedLeaf
                           : leaf >= 0x40000000 ? 0x4fffffff
                                                : kHighestLeaf;
  if (leaf > highest) leaf = kHighestLeaf;

  const unsigned cpu_count = cpu.apic->bus().cpu_count();
  const uint32_t id = cpu.apic->id();
  CpuidResult result;
  switch (leaf) {
    case 0:
      return vendor();
    case 1:
      result.eax = kCpuSignature;
      result.ebx = (id & 0xff) << 24 | (std::bit_ceil(cpu_count) & 0xff) << 16 | 8 << 8;
      if (cpu.cr4 >> 18 & 1) result.ecx |= 1u << 27;  // OSXSAVE
      if (cpu_count > 1) result.edx |= 1u << 28;      // HTT: EBX[23:16] counts.
      break;
    case 2:
      result.eax = 0x00feff01;  // See leaf 4.
      break;
    case 4:
      return cache(subleaf, cpu_count);
    case 7:
      if (subleaf != 0) return {};
      break;
    case 0xd:
      result = state_components(cpu, subleaf);
      break;
    case 0xb:
      return topology(subleaf, cpu_count, id);
    case 0x40000000:
      result.eax = kHighestKvmLeaf;
      std::memcpy(&result.ebx, "KVMKVMKVM\0\0\0", 12);
      return result;
    case 0x80000000:
      result.eax = kHighestExtendedLeaf;
      return result;
    case 0x80000002:
      return words("Alcove Virtual C");
    case 0x80000003:
      return words("PU\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    case 0x80000006:
      result.ecx = 64 | 8u << 12 | 1024u << 16;  // L2: 1 MiB, 16 ways.
      return result;
    case 0x80000008:
      result.eax = kPhysicalAddressBits | kLinearAddressBits << 8;
      return result;
    default:
      break;
  }
  add_features(result, leaf, leaf == 0xd ? subleaf : 0);
  // A disabled APIC is not there (SDM vol. 3, 11.4.3).
  if (leaf == 1 && !(cpu.apic->base() & 0x800)) result.edx &= ~(1u << 9);
  return result;
}

}  // namespace alcove::cpu::soft
