// The architectural state of an x86-64 processor, as values: what boot loaders set, what is saved.
#pragma once

#include <array>
#include <cstdint>

namespace alcove::cpu {

// Access rights in the layout of descriptor bits 40-55 (Intel SDM vol. 3, 3.4.5): type in bits 0-3, S 4,
// DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15.
struct SegmentRegister {
  uint16_t selector = 0;
  uint16_t access = 0;
  uint32_t limit = 0;  // In bytes, granularity applied.
  uint64_t base = 0;
  bool operator==(const SegmentRegister&) const = default;
};

struct DescriptorTable {
  uint64_t base = 0;
  uint16_t limit = 0;
  bool operator==(const DescriptorTable&) const = default;
};

// In the order of instruction encodings.
enum Gpr : uint8_t { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 };
enum SegmentIndex : uint8_t { es, cs, ss, ds, fs, gs };

struct X86State {
  std::array<uint64_t, 16> gpr{};  // Indexed by Gpr.
  uint64_t rip = 0;
  uint64_t rflags = 2;
  std::array<SegmentRegister, 6> segments{};  // Indexed by SegmentIndex.
  SegmentRegister tr{};
  SegmentRegister ldtr{};
  DescriptorTable gdtr{};
  DescriptorTable idtr{};
  uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0;
  uint64_t efer = 0;
  uint64_t apic_base = 0;
};

}  // namespace alcove::cpu
