// What CPUID tells of an x86-64 processor's abilities, bit by bit (Intel SDM vol. 2, CPUID; AMD APM vol. 3,
// appendix E), and the levels that the x86-64 psABI, section 3.1.1, makes of them.
#pragma once

#include <cstdint>
#include <iterator>

namespace alcove::spec::x86 {

enum class CpuidWord : uint8_t { eax, ebx, ecx, edx };

enum class FeatureKind : uint8_t {
  required,     // No processor for x86-64 is without it.
  instruction,  // New instructions for programs, or registers for them.
  common,       // Every machine has it, whatever the host's processor.
  system,       // For kernels. Where the host's processor executes the guest, up to that.
};

struct Feature {
  const char* name;  // As in /proc/cpuinfo.
  uint32_t leaf;
  uint8_t subleaf;
  CpuidWord word;
  uint8_t bit;
  FeatureKind kind;
  uint8_t level = 0;            // The first level that has it; 0: none.
  const char* needs = nullptr;  // Without that one, it is of no use.
  const char* alias = nullptr;
};

inline constexpr Feature kFeatures[] = {
    {"fpu", 1, 0, CpuidWord::edx, 0, FeatureKind::required, 1},
    {"vme", 1, 0, CpuidWord::edx, 1, FeatureKind::system},
    {"de", 1, 0, CpuidWord::edx, 2, FeatureKind::common},
    {"pse", 1, 0, CpuidWord::edx, 3, FeatureKind::common},
    {"tsc", 1, 0, CpuidWord::edx, 4, FeatureKind::required},
    {"msr", 1, 0, CpuidWord::edx, 5, FeatureKind::required},
    {"pae", 1, 0, CpuidWord::edx, 6, FeatureKind::required},
    {"mce", 1, 0, CpuidWord::edx, 7, FeatureKind::common},
    {"cx8", 1, 0, CpuidWord::edx, 8, FeatureKind::required, 1},
    {"apic", 1, 0, CpuidWord::edx, 9, FeatureKind::required},
    {"sep", 1, 0, CpuidWord::edx, 11, FeatureKind::common},
    {"mtrr", 1, 0, CpuidWord::edx, 12, FeatureKind::common},
    {"pge", 1, 0, CpuidWord::edx, 13, FeatureKind::common},
    {"mca", 1, 0, CpuidWord::edx, 14, FeatureKind::common},
    {"cmov", 1, 0, CpuidWord::edx, 15, FeatureKind::required, 1},
    {"pat", 1, 0, CpuidWord::edx, 16, FeatureKind::common},
    {"pse36", 1, 0, CpuidWord::edx, 17, FeatureKind::common},
    {"clflush", 1, 0, CpuidWord::edx, 19, FeatureKind::common},
    {"mmx", 1, 0, CpuidWord::edx, 23, FeatureKind::required, 1},
    {"fxsr", 1, 0, CpuidWord::edx, 24, FeatureKind::required, 1},
    {"sse", 1, 0, CpuidWord::edx, 25, FeatureKind::required, 1},
    {"sse2", 1, 0, CpuidWord::edx, 26, FeatureKind::required, 1},
    {"ss", 1, 0, CpuidWord::edx, 27, FeatureKind::common},
    {"ht", 1, 0, CpuidWord::edx, 28, FeatureKind::common},

    {"sse3", 1, 0, CpuidWord::ecx, 0, FeatureKind::instruction, 2, nullptr, "pni"},
    {"pclmulqdq", 1, 0, CpuidWord::ecx, 1, FeatureKind::instruction},
    {"ssse3", 1, 0, CpuidWord::ecx, 9, FeatureKind::instruction, 2, "sse3"},
    {"fma", 1, 0, CpuidWord::ecx, 12, FeatureKind::instruction, 3, "avx"},
    {"cx16", 1, 0, CpuidWord::ecx, 13, FeatureKind::instruction, 2},
    {"pcid", 1, 0, CpuidWord::ecx, 17, FeatureKind::system},
    {"sse4_1", 1, 0, CpuidWord::ecx, 19, FeatureKind::instruction, 2, "ssse3"},
    {"sse4_2", 1, 0, CpuidWord::ecx, 20, FeatureKind::instruction, 2, "sse4_1"},
    {"x2apic", 1, 0, CpuidWord::ecx, 21, FeatureKind::common},
    {"movbe", 1, 0, CpuidWord::ecx, 22, FeatureKind::instruction, 3},
    {"popcnt", 1, 0, CpuidWord::ecx, 23, FeatureKind::instruction, 2},
    {"tsc_deadline_timer", 1, 0, CpuidWord::ecx, 24, FeatureKind::common},
    {"aes", 1, 0, CpuidWord::ecx, 25, FeatureKind::instruction},
    {"xsave", 1, 0, CpuidWord::ecx, 26, FeatureKind::instruction, 3},
    {"osxsave", 1, 0, CpuidWord::ecx, 27, FeatureKind::instruction, 3, "xsave"},
    {"avx", 1, 0, CpuidWord::ecx, 28, FeatureKind::instruction, 3, "xsave"},
    {"f16c", 1, 0, CpuidWord::ecx, 29, FeatureKind::instruction, 3, "avx"},
    {"rdrand", 1, 0, CpuidWord::ecx, 30, FeatureKind::instruction},
    {"hypervisor", 1, 0, CpuidWord::ecx, 31, FeatureKind::common},

    {"arat", 6, 0, CpuidWord::eax, 2, FeatureKind::common},

    {"fsgsbase", 7, 0, CpuidWord::ebx, 0, FeatureKind::system},
    {"tsc_adjust", 7, 0, CpuidWord::ebx, 1, FeatureKind::common},
    {"bmi1", 7, 0, CpuidWord::ebx, 3, FeatureKind::instruction, 3},
    {"avx2", 7, 0, CpuidWord::ebx, 5, FeatureKind::instruction, 3, "avx"},
    {"smep", 7, 0, CpuidWord::ebx, 7, FeatureKind::system},
    {"bmi2", 7, 0, CpuidWord::ebx, 8, FeatureKind::instruction, 3},
    {"erms", 7, 0, CpuidWord::ebx, 9, FeatureKind::system},
    {"invpcid", 7, 0, CpuidWord::ebx, 10, FeatureKind::system},
    {"avx512f", 7, 0, CpuidWord::ebx, 16, FeatureKind::instruction, 0, "avx2"},
    {"avx512dq", 7, 0, CpuidWord::ebx, 17, FeatureKind::instruction, 0, "avx512f"},
    {"rdseed", 7, 0, CpuidWord::ebx, 18, FeatureKind::instruction},
    {"adx", 7, 0, CpuidWord::ebx, 19, FeatureKind::instruction},
    {"smap", 7, 0, CpuidWord::ebx, 20, FeatureKind::system},
    {"avx512ifma", 7, 0, CpuidWord::ebx, 21, FeatureKind::instruction, 0, "avx512f"},
    {"clflushopt", 7, 0, CpuidWord::ebx, 23, FeatureKind::instruction},
    {"clwb", 7, 0, CpuidWord::ebx, 24, FeatureKind::instruction},
    {"avx512cd", 7, 0, CpuidWord::ebx, 28, FeatureKind::instruction, 0, "avx512f"},
    {"sha_ni", 7, 0, CpuidWord::ebx, 29, FeatureKind::instruction},
    {"avx512bw", 7, 0, CpuidWord::ebx, 30, FeatureKind::instruction, 0, "avx512f"},
    {"avx512vl", 7, 0, CpuidWord::ebx, 31, FeatureKind::instruction, 0, "avx512f"},
    {"avx512vbmi", 7, 0, CpuidWord::ecx, 1, FeatureKind::instruction, 0, "avx512f"},
    {"umip", 7, 0, CpuidWord::ecx, 2, FeatureKind::common},
    {"pku", 7, 0, CpuidWord::ecx, 3, FeatureKind::system, 0, "xsave"},
    {"avx512_vbmi2", 7, 0, CpuidWord::ecx, 6, FeatureKind::instruction, 0, "avx512f"},
    {"gfni", 7, 0, CpuidWord::ecx, 8, FeatureKind::instruction},
    {"vaes", 7, 0, CpuidWord::ecx, 9, FeatureKind::instruction, 0, "avx"},
    {"vpclmulqdq", 7, 0, CpuidWord::ecx, 10, FeatureKind::instruction, 0, "avx"},
    {"avx512_vnni", 7, 0, CpuidWord::ecx, 11, FeatureKind::instruction, 0, "avx512f"},
    {"avx512_bitalg", 7, 0, CpuidWord::ecx, 12, FeatureKind::instruction, 0, "avx512f"},
    {"avx512_vpopcntdq", 7, 0, CpuidWord::ecx, 14, FeatureKind::instruction, 0, "avx512f"},
    {"la57", 7, 0, CpuidWord::ecx, 16, FeatureKind::system},
    {"rdpid", 7, 0, CpuidWord::ecx, 22, FeatureKind::instruction},
    {"fsrm", 7, 0, CpuidWord::edx, 4, FeatureKind::system},
    {"serialize", 7, 0, CpuidWord::edx, 14, FeatureKind::system},
    {"arch_capabilities", 7, 0, CpuidWord::edx, 29, FeatureKind::system},

    {"xsaveopt", 0xd, 1, CpuidWord::eax, 0, FeatureKind::system, 0, "xsave"},
    {"xsavec", 0xd, 1, CpuidWord::eax, 1, FeatureKind::system, 0, "xsave"},
    {"xgetbv1", 0xd, 1, CpuidWord::eax, 2, FeatureKind::system, 0, "xsave"},
    {"xsaves", 0xd, 1, CpuidWord::eax, 3, FeatureKind::system, 0, "xsave"},

    {"lahf_lm", 0x80000001, 0, CpuidWord::ecx, 0, FeatureKind::instruction, 2},
    {"abm", 0x80000001, 0, CpuidWord::ecx, 5, FeatureKind::instruction, 3, nullptr, "lzcnt"},
    {"sse4a", 0x80000001, 0, CpuidWord::ecx, 6, FeatureKind::instruction},
    {"3dnowprefetch", 0x80000001, 0, CpuidWord::ecx, 8, FeatureKind::instruction},
    {"syscall", 0x80000001, 0, CpuidWord::edx, 11, FeatureKind::required, 1},
    {"nx", 0x80000001, 0, CpuidWord::edx, 20, FeatureKind::common},
    {"pdpe1gb", 0x80000001, 0, CpuidWord::edx, 26, FeatureKind::system},
    {"rdtscp", 0x80000001, 0, CpuidWord::edx, 27, FeatureKind::system},
    {"lm", 0x80000001, 0, CpuidWord::edx, 29, FeatureKind::required},
    {"constant_tsc", 0x80000007, 0, CpuidWord::edx, 8, FeatureKind::system},

    {"kvm_clocksource", 0x40000001, 0, CpuidWord::eax, 0, FeatureKind::common},
    {"kvm_nopiodelay", 0x40000001, 0, CpuidWord::eax, 1, FeatureKind::common},
    {"kvm_clocksource2", 0x40000001, 0, CpuidWord::eax, 3, FeatureKind::common},
    {"kvm_steal_time", 0x40000001, 0, CpuidWord::eax, 5, FeatureKind::common},
    {"kvm_pv_eoi", 0x40000001, 0, CpuidWord::eax, 6, FeatureKind::common},
    {"kvm_pv_unhalt", 0x40000001, 0, CpuidWord::eax, 7, FeatureKind::common},
    {"kvm_pv_tlb_flush", 0x40000001, 0, CpuidWord::eax, 9, FeatureKind::common, 0, "kvm_steal_time"},
    {"kvm_pv_ipi", 0x40000001, 0, CpuidWord::eax, 11, FeatureKind::common},
    {"kvm_poll_control", 0x40000001, 0, CpuidWord::eax, 12, FeatureKind::common},
    {"kvm_clocksource_stable", 0x40000001, 0, CpuidWord::eax, 24, FeatureKind::common},
};

inline constexpr size_t kFeatureCount = std::size(kFeatures);
inline constexpr unsigned kHighestLevel = 3;

}  // namespace alcove::spec::x86
