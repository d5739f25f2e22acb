// Decimal arithmetic and SALC, which 64-bit mode does not have.
#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

uint8_t al(const Cpu& cpu) {
  return read_gpr<uint8_t>(cpu, rax);
}
uint8_t ah(const Cpu& cpu) {
  return static_cast<uint8_t>(cpu.gpr[rax] >> 8);
}
void set_ax(Cpu& cpu, unsigned high, unsigned low) {
  write_gpr<uint16_t>(cpu, rax, static_cast<uint16_t>((high & 0xff) << 8 | (low & 0xff)));
}

// ZF, SF and PF by the result, CF and AF as given, OF clear.
void set_flags(Cpu& cpu, uint8_t result, bool cf, bool af) {
  cpu.flags.set_logic<uint8_t>(result);
  const uint32_t bits = cpu.flags.arithmetic_bits();
  cpu.flags.set_arithmetic_bits((bits & ~(kCf | kAf)) | (cf ? kCf : 0) | (af ? kAf : 0));
}

template <int sign>
void execute_adjust_packed(Cpu& cpu, const Insn&) {
  const uint8_t old = al(cpu);
  const bool old_cf = cpu.flags.cf();
  const bool af = (old & 15) > 9 || cpu.flags.af();
  int value = old;
  bool cf = false;
  if (af) {
    value += sign * 6;
    cf = old_cf || value < 0 || value > 0xff;
  }
  if (old > 0x99 || old_cf) {
    value += sign * 0x60;
    cf = true;
  } else if (sign > 0) {
    cf = false;
  }
  write_gpr<uint8_t>(cpu, rax, static_cast<uint8_t>(value));
  set_flags(cpu, static_cast<uint8_t>(value), cf, af);
}

template <int sign>
void execute_adjust_unpacked(Cpu& cpu, const Insn&) {
  const bool adjust = (al(cpu) & 15) > 9 || cpu.flags.af();
  uint16_t value = read_gpr<uint16_t>(cpu, rax);
  if (adjust) value = static_cast<uint16_t>(sign > 0 ? value + 0x106 : value - 6 - 0x100);
  set_ax(cpu, value >> 8, value & 15);
  set_flags(cpu, value & 15, adjust, adjust);
}

void execute_aam(Cpu& cpu, const Insn& insn) {
  const auto base = static_cast<uint8_t>(insn.immediate);
  if (base == 0) raise(cpu, kDivide);
  const uint8_t value = al(cpu);
  set_ax(cpu, value / base, value % base);
  set_flags(cpu, value % base, false, false);
}

void execute_aad(Cpu& cpu, const Insn& insn) {
  const auto value = static_cast<uint8_t>(al(cpu) + ah(cpu) * insn.immediate);
  set_ax(cpu, 0, value);
  set_flags(cpu, value, false, false);
}

// Not in Intel's manual, but in every processor: AL by the carry.
void execute_salc(Cpu& cpu, const Insn&) {
  write_gpr<uint8_t>(cpu, rax, cpu.flags.cf() ? 0xff : 0);
}

constexpr FlagEffects kPacked{.written = kArithmeticFlags, .undefined = kOf, .read = kCf | kAf};
constexpr FlagEffects kUnpacked{.written = kArithmeticFlags, .undefined = kOf | kSf | kZf | kPf, .read = kAf};
constexpr FlagEffects kByBase{.written = kArithmeticFlags, .undefined = kOf | kAf | kCf};

const Row kRows[] = {
    {"daa", "27", "", always<execute_adjust_packed<1>>, kNo64, kPacked},
    {"das", "2F", "", always<execute_adjust_packed<-1>>, kNo64, kPacked},
    {"aaa", "37", "", always<execute_adjust_unpacked<1>>, kNo64, kUnpacked},
    {"aas", "3F", "", always<execute_adjust_unpacked<-1>>, kNo64, kUnpacked},
    {"aam", "D4", "Ib", always<execute_aam>, kNo64, kByBase},
    {"aad", "D5", "Ib", always<execute_aad>, kNo64, kByBase},
    {"salc", "D6", "", always<execute_salc>, kNo64, {.read = kCf}},
};

}  // namespace

std::span<const Row> decimal_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
