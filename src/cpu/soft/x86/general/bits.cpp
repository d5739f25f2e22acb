// Bit tests, scans and counts; CRC32.
#include <array>
#include <bit>
#include <type_traits>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

struct BitTest {
  static constexpr bool kWrites = false;
  template <class T>
  static T change(T value, T) {
    return value;
  }
};
struct BitSet {
  static constexpr bool kWrites = true;
  template <class T>
  static T change(T value, T mask) {
    return value | mask;
  }
};
struct BitReset {
  static constexpr bool kWrites = true;
  template <class T>
  static T change(T value, T mask) {
    return value & static_cast<T>(~mask);
  }
};
struct BitComplement {
  static constexpr bool kWrites = true;
  template <class T>
  static T change(T value, T mask) {
    return value ^ mask;
  }
};

template <class T>
constexpr unsigned kBits = 8 * sizeof(T);

// The bit number is taken modulo the operand size.
template <class Operation, class Form, class T>
void apply(Cpu& cpu, const Insn& insn, unsigned number) {
  const T mask = static_cast<T>(T{1} << (number % kBits<T>));
  T old;
  if constexpr (Operation::kWrites)
    old = Form::template update<T>(cpu, insn,
                                   [=](T value) { return Operation::template change<T>(value, mask); });
  else
    old = Form::template read<T>(cpu, insn);
  cpu.flags.set_cf(old & mask);
}

template <class Operation>
struct BitImmediate {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    apply<Operation, Form, T>(cpu, insn, static_cast<unsigned>(insn.immediate));
  }
};

// Memory as a string of bits: the register may name one far away.
template <class Operation>
struct BitString {
  struct Form {
    template <class T>
    static uint64_t address(Cpu& cpu, const Insn& insn) {
      const auto number = static_cast<int64_t>(static_cast<std::make_signed_t<T>>(read_reg<T>(cpu, insn)));
      const auto distance = static_cast<uint64_t>(number >> std::countr_zero(kBits<T>)) * sizeof(T);
      uint64_t offset = effective_offset(cpu, insn) + distance;
      if (insn.address_size != 8)
        offset = insn.address_size == 4 ? static_cast<uint32_t>(offset) : static_cast<uint16_t>(offset);
      return cpu.flat ? cpu.segment_base[insn.segment] + offset
                      : check_segment(cpu, insn.segment, offset, sizeof(T), Operation::kWrites);
    }
    template <class T>
    static T read(Cpu& cpu, const Insn& insn) {
      return load<T>(cpu, address<T>(cpu, insn));
    }
    template <class T, class Change>
    static T update(Cpu& cpu, const Insn& insn, Change change) {
      return modify<T>(cpu, address<T>(cpu, insn), insn.lock, change);
    }
  };
  template <class T, class Ignored>
  static void execute(Cpu& cpu, const Insn& insn) {
    using Actual = std::conditional_t<Ignored::kIsMemory, Form, RegisterForm>;
    apply<Operation, Actual, T>(cpu, insn, static_cast<unsigned>(read_reg<T>(cpu, insn)));
  }
};

// Where the source is 0 the destination stays as it is, as every processor does it.
template <bool reverse>
struct Scan {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    cpu.flags.set_zf(source == 0);
    if (source != 0)
      write_reg<T>(cpu, insn,
                   static_cast<T>(reverse ? kBits<T> - 1 - static_cast<unsigned>(std::countl_zero(source))
                                          : static_cast<unsigned>(std::countr_zero(source))));
  }
};

struct Popcnt {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    write_reg<T>(cpu, insn, static_cast<T>(std::popcount(source)));
    cpu.flags.set_arithmetic_bits(source == 0 ? kZf : 0);
  }
};

// CRC-32C: polynomial 11EDC6F41H, bit-reflected, a byte at a time.
constexpr auto kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}();

struct Crc32 {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    uint64_t source = Form::template read<T>(cpu, insn);
    auto crc = static_cast<uint32_t>(cpu.gpr[insn.reg]);
    for (size_t i = 0; i < sizeof(T); ++i, source >>= 8)
      crc = crc >> 8 ^ kCrcTable[static_cast<uint8_t>(crc ^ source)];
    cpu.gpr[insn.reg] = crc;
  }
};

constexpr FlagEffects kBitFlags{.written = kCf | kOf | kSf | kAf | kPf, .undefined = kOf | kSf | kAf | kPf};
constexpr FlagEffects kScanFlags{.written = kArithmeticFlags, .undefined = kArithmeticFlags & ~kZf};

const Row kRows[] = {
    {"bt", "0F A3 /r", "Ev,Gv", pick_wide<BitString<BitTest>>, 0, kBitFlags},
    {"bts", "0F AB /r", "Ev,Gv", pick_wide<BitString<BitSet>>, kLock, kBitFlags},
    {"btr", "0F B3 /r", "Ev,Gv", pick_wide<BitString<BitReset>>, kLock, kBitFlags},
    {"btc", "0F BB /r", "Ev,Gv", pick_wide<BitString<BitComplement>>, kLock, kBitFlags},
    {"bt", "0F BA /4", "Ev,Ib", pick_wide<BitImmediate<BitTest>>, 0, kBitFlags},
    {"bts", "0F BA /5", "Ev,Ib", pick_wide<BitImmediate<BitSet>>, kLock, kBitFlags},
    {"btr", "0F BA /6", "Ev,Ib", pick_wide<BitImmediate<BitReset>>, kLock, kBitFlags},
    {"btc", "0F BA /7", "Ev,Ib", pick_wide<BitImmediate<BitComplement>>, kLock, kBitFlags},
    {"bsf", "0F BC /r", "Gv,Ev", pick_wide<Scan<false>>, 0, kScanFlags},
    {"bsr", "0F BD /r", "Gv,Ev", pick_wide<Scan<true>>, 0, kScanFlags},
    {"popcnt", "F3 0F B8 /r", "Gv,Ev", pick_wide<Popcnt>, 0, kWritesAll, "popcnt"},
    {"crc32", "F2 0F 38 F0 /r", "Gy,Eb", pick_form<Crc32, uint8_t>, 0, {}, "sse4_2"},
    {"crc32", "F2 0F 38 F1 /r", "Gy,Ev", pick_wide<Crc32>, 0, {}, "sse4_2"},
};

}  // namespace

std::span<const Row> bit_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
