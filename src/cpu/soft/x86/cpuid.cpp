#include "cpu/soft/x86/cpuid.h"

#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"

namespace alcove::cpu::soft {
namespace {

using enum CpuidRegister;

// Without SMAP: what a supervisor may touch would change with each STAC and CLAC, of which kernels make
// several in every system call, and with it what translated code may find in the FlatMap.
constexpr CpuFeature kFeatures[] = {
    {"sse3", 1, ecx, 0},
    {"pclmulqdq", 1, ecx, 1},
    {"ssse3", 1, ecx, 9},
    {"cx16", 1, ecx, 13},
    {"pcid", 1, ecx, 17},
    {"sse4_1", 1, ecx, 19},
    {"sse4_2", 1, ecx, 20},
    {"x2apic", 1, ecx, 21},
    {"popcnt", 1, ecx, 23},
    {"tsc_deadline_timer", 1, ecx, 24},
    {"aes", 1, ecx, 25},
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
    {"smep", 7, ebx, 7},
    {"erms", 7, ebx, 9},
    {"invpcid", 7, ebx, 10},
    {"rdseed", 7, ebx, 18},
    {"clflushopt", 7, ebx, 23},
    {"umip", 7, ecx, 2},
    {"fsrm", 7, edx, 4},
    {"arch_capabilities", 7, edx, 29},

    {"lahf_lm", 0x80000001, ecx, 0},
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

constexpr uint32_t kHighestLeaf = 0xb, kHighestKvmLeaf = 0x40000001, kHighestExtendedLeaf = 0x80000008;

void add_features(CpuidResult& result, uint32_t leaf) {
  for (const CpuFeature& feature : kFeatures)
    if (feature.leaf == leaf) member(result, feature.reg) |= 1u << feature.bit;
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
      if (cpu_count > 1) result.edx |= 1u << 28;  // HTT: EBX[23:16] counts.
      break;
    case 2:
      result.eax = 0x00feff01;  // See leaf 4.
      break;
    case 4:
      return cache(subleaf, cpu_count);
    case 7:
      if (subleaf != 0) return {};
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
  add_features(result, leaf);
  // A disabled APIC is not there (SDM vol. 3, 11.4.3).
  if (leaf == 1 && !(cpu.apic->base() & 0x800)) result.edx &= ~(1u << 9);
  return result;
}

}  // namespace alcove::cpu::soft
