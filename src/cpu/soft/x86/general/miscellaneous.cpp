// Single flags, hints, fences, random numbers, and opcodes that are invalid on purpose.
#include <sys/random.h>

#include <atomic>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

void execute_clc(Cpu& cpu, const Insn&) {
  cpu.flags.set_cf(false);
}
void execute_stc(Cpu& cpu, const Insn&) {
  cpu.flags.set_cf(true);
}
void execute_cmc(Cpu& cpu, const Insn&) {
  cpu.flags.set_cf(!cpu.flags.cf());
}
void execute_cld(Cpu& cpu, const Insn&) {
  cpu.flags.set(kDf, false);
}
void execute_std(Cpu& cpu, const Insn&) {
  cpu.flags.set(kDf, true);
}

void execute_lahf(Cpu& cpu, const Insn&) {
  byte_register(cpu, 1) = static_cast<uint8_t>(cpu.flags.value());
}

void execute_sahf(Cpu& cpu, const Insn&) {
  const uint32_t overflow = cpu.flags.of() ? kOf : 0;
  cpu.flags.set_arithmetic_bits(byte_register(cpu, 1) | overflow);
}

void execute_nothing(Cpu&, const Insn&) {}

void execute_fence(Cpu&, const Insn&) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// The operand is checked as for a read of one byte; caches are coherent with everything. Devices see nothing.
void execute_cache_flush(Cpu& cpu, const Insn& insn) {
  probe_read(cpu, linear_address(cpu, insn, 1, false), 1);
}

// CF says whether there was a number; there always is unless the host's source fails.
struct Random {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    T value = 0;
    const bool success = getrandom(&value, sizeof value, 0) == sizeof value;
    write_gpr<T>(cpu, insn.rm, success ? value : T{0});
    cpu.flags.set_arithmetic_bits(success ? kCf : 0);
  }
};

struct Bound {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    using Signed = std::make_signed_t<T>;
    const uint64_t address = linear_address(cpu, insn, 2 * sizeof(T), false);
    const auto lower = static_cast<Signed>(load<T>(cpu, address));
    const auto upper = static_cast<Signed>(load<T>(cpu, address + sizeof(T)));
    const auto index = static_cast<Signed>(read_gpr<T>(cpu, insn.reg));
    if (index < lower || index > upper) raise(cpu, kBound);
  }
};

constexpr FlagEffects kCarry{.written = kCf};
constexpr FlagEffects kLowFlags{.written = kArithmeticFlags & ~kOf};

const Row kRows[] = {
    {"clc", "F8", "", always<execute_clc>, 0, kCarry},
    {"stc", "F9", "", always<execute_stc>, 0, kCarry},
    {"cmc", "F5", "", always<execute_cmc>, 0, {.written = kCf, .read = kCf}},
    {"cld", "FC", "", always<execute_cld>},
    {"std", "FD", "", always<execute_std>},
    {"lahf", "9F", "", always<execute_lahf>, 0, {.read = kArithmeticFlags & ~kOf}},
    {"sahf", "9E", "", always<execute_sahf>, 0, kLowFlags},
    // The hint space: NOP with an operand that is not accessed. ENDBR is in it.
    {"prefetch", "0F 0D /r mem", "Mb", always<execute_nothing>},
    {"nop", "0F 18 /r", "Ev", always<execute_nothing>},
    {"prefetchnta", "0F 18 /0 mem", "Mb", always<execute_nothing>},
    {"prefetcht0", "0F 18 /1 mem", "Mb", always<execute_nothing>},
    {"prefetcht1", "0F 18 /2 mem", "Mb", always<execute_nothing>},
    {"prefetcht2", "0F 18 /3 mem", "Mb", always<execute_nothing>},
    {"nop", "0F 19 /r", "Ev", always<execute_nothing>},
    {"nop", "0F 1A /r", "Ev", always<execute_nothing>},
    {"nop", "0F 1B /r", "Ev", always<execute_nothing>},
    {"nop", "0F 1C /r", "Ev", always<execute_nothing>},
    {"nop", "0F 1D /r", "Ev", always<execute_nothing>},
    {"nop", "0F 1E /r", "Ev", always<execute_nothing>},
    {"endbr64", "F3 0F 1E FA", "", always<execute_nothing>},
    {"endbr32", "F3 0F 1E FB", "", always<execute_nothing>},
    {"nop", "0F 1F /r", "Ev", always<execute_nothing>},
    {"lfence", "NP 0F AE /5 reg", "", always<execute_nothing>, 0, {}, "sse2"},
    {"mfence", "NP 0F AE /6 reg", "", always<execute_fence>, 0, {}, "sse2"},
    {"sfence", "NP 0F AE /7 reg", "", always<execute_fence>, 0, {}, "sse"},
    // Other processors' changes of code are looked for before the next block.
    {"serialize", "NP 0F 01 E8", "", always<execute_fence>, kEndsBlock | kNoTest, {}, "serialize"},
    {"clflush", "NP 0F AE /7 mem", "Mb", always<execute_cache_flush>, 0, {}, "clflush"},
    {"clflushopt", "66 0F AE /7 mem", "Mb", always<execute_cache_flush>, 0, {}, "clflushopt"},
    {"clwb", "66 0F AE /6 mem", "Mb", always<execute_cache_flush>, 0, {}, "clwb"},
    {"rdrand", "0F C7 /6 reg", "Rv", pick_wide_size<Random>, kNoTest, kWritesAll, "rdrand"},
    {"rdseed", "0F C7 /7 reg", "Rv", pick_wide_size<Random>, kNoTest, kWritesAll, "rdseed"},
    {"bound", "62 /r", "Gv,Ma", pick_wide_size<Bound>, kNo64},
    {"ud0", "0F FF /r", "Gv,Ev", always<execute_invalid_opcode>, kEndsBlock | kStops},
    {"ud1", "0F B9 /r", "Gv,Ev", always<execute_invalid_opcode>, kEndsBlock | kStops},
    {"ud2", "0F 0B", "", always<execute_invalid_opcode>, kEndsBlock | kStops},
};

}  // namespace

std::span<const Row> miscellaneous_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
