// Random programs, interpreted one instruction at a time and translated whole: both must end alike.
//
// ALCOVE_SEQUENCE_COUNT: how many (10000000 for a night), ALCOVE_SEQUENCE_SEED: from where.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <thread>

#include "cpu/soft/testing/sequence_generator.h"
#include "cpu/soft/testing/sequence_machine.h"
#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/disassembler.h"
#include "cpu/soft/x86/undefined.h"

namespace alcove::cpu::soft::testing {
namespace {

using namespace sequence;

constexpr uint64_t kStandardCount = 100'000, kStandardSeed = 1;
constexpr unsigned kMaximumSteps = 300, kMaximumReports = 5;

uint64_t setting(const char* name, uint64_t standard) {
  const char* const text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 0) : standard;
}

// The flags that a condition looks at.
uint32_t condition_flags(unsigned condition) {
  constexpr uint32_t kFlags[] = {kOf, kCf, kZf, kCf | kZf, kSf, kPf, kSf | kOf, kZf | kSf | kOf};
  return kFlags[condition >> 1];
}

// Follows which flags instructions have left undefined.
class UndefinedFlags {
 public:
  // False if the instruction's results depend on them.
  bool pass(const Insn& insn, const std::array<uint64_t, 16>& gpr) {
    const std::string_view name = insn.row->mnemonic;
    uint32_t read = insn.row->effects.read;
    if (name == "j" || name == "cmov" || name == "set") read = condition_flags(insn.opcode & 15);
    if (name.starts_with("pushf")) read = kArithmeticFlags;
    if (read & mask_) return false;
    const Undefined undefined = undefined_results(insn, gpr);
    if (undefined.destination) return false;
    // A count of 0 changes no flag.
    const bool counts = name.starts_with("sh") || name == "sar" || name.starts_with("ro") ||
                        name.starts_with("rc") || insn.rep || insn.repne;
    if (!counts) mask_ &= ~uint32_t{insn.row->effects.written};
    mask_ |= undefined.flags;
    return true;
  }
  uint32_t mask() const { return mask_; }

 private:
  uint32_t mask_ = 0;
};

// Kicks the processor when a program does not end: by the time that this thread has computed, as it may wait
// long.
class Watchdog {
 public:
  explicit Watchdog(Cpu& cpu) {
    pthread_getcpuclockid(pthread_self(), &clock_);
    thread_ = std::jthread([this, &cpu](std::stop_token stop) {
      while (!stop.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const uint64_t begin = begin_.load();
        if (begin == 0 || now() - begin < kLimit) continue;
        kicked = true;
        cpu.attention.fetch_or(kKickAttention);
      }
    });
  }
  void begin() { begin_ = now(); }
  void end() { begin_ = 0; }
  std::atomic<bool> kicked = false;

 private:
  static constexpr uint64_t kLimit = 3'000'000'000;  // ns
  uint64_t now() const {
    timespec time{};
    clock_gettime(clock_, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
  }

  clockid_t clock_{};
  std::atomic<uint64_t> begin_ = 0;
  std::jthread thread_;
};

// Has the processor look up at whatever instruction it is, as interrupts do.
class Disturber {
 public:
  explicit Disturber(Cpu& cpu) {
    thread_ = std::jthread([this, &cpu](std::stop_token stop) {
      for (unsigned pauses = 1; !stop.stop_requested(); pauses = pauses * 5 % 193) {
        while (!active_ && !stop.stop_requested()) __builtin_ia32_pause();
        cpu.attention.fetch_or(kStopAttention);
        for (unsigned i = 0; i < pauses; ++i) __builtin_ia32_pause();
      }
    });
  }
  void set(bool active) { active_ = active; }

 private:
  std::atomic<bool> active_ = false;
  std::jthread thread_;
};

struct Reference {
  std::optional<Fault> fault;
  uint32_t undefined_flags = 0;
  bool usable = false;  // It ended, and is the same on every processor.
};

// How often code has changed that somebody may have decoded.
uint32_t code_changes(SequenceMachine& machine) {
  uint32_t changes = 0;
  for (uint64_t page = kCode; page < kCodeEnd; page += kPage)
    changes += machine.engine().engine().mmu().memory().page(page).state->code_generation.load();
  return changes;
}

// The generator's own stores into code are followed by an instruction that keeps all flags alive. Others may
// change an instruction that would have replaced the flags into one that reads them, or be repeated and
// change themselves, where processors differ.
bool may_change_code(const Insn& insn) {
  return insn.opcode == 0xc6 && insn.base == kNoRegister;
}

// A repeated MOVS to its own source at another linear address: processors copy more at once there than the
// source is ahead, so that it depends on them, and on their mood, what they copy twice.
bool copies_onto_itself(const Cpu& cpu, const Insn& insn) {
  if (!std::string_view(insn.row->mnemonic).starts_with("movs") || !(insn.rep || insn.repne)) return false;
  constexpr uint64_t kMostAtOnce = 64;
  const uint64_t from = cpu.gpr[rsi] + cpu.segment_base[insn.segment], to = cpu.gpr[rdi];
  if ((from ^ to) < kSize) return false;
  return ((from - to) & ~kUpper) < kMostAtOnce || ((to - from) & ~kUpper) < kMostAtOnce;
}

Reference interpret(SequenceMachine& machine) {
  Reference reference;
  UndefinedFlags undefined;
  Cpu& cpu = machine.cpu();
  const std::byte* const memory = machine.engine().memory().data();
  for (unsigned step = 0; step < kMaximumSteps; ++step) {
    if (const uint64_t rip = cpu.rip & ~kUpper; rip >= kCode && rip < kCodeEnd) {
      const uint64_t available = kCodeEnd - rip;
      const auto* const bytes = reinterpret_cast<const uint8_t*>(memory + (rip - kBase));
      Insn insn;
      std::array<uint64_t, 16> gpr;
      std::copy_n(cpu.gpr.begin(), 16, gpr.begin());
      const DecodeError error =
          decode({bytes, std::min<uint64_t>(available, kMaximumInsnLength)}, CodeMode::bits64, 0, insn);
      if (error == DecodeError::none) {
        // Chance makes instructions that the generator does not: those need more of a machine than is here.
        const std::string_view name = insn.row->mnemonic;
        if ((insn.row->flags & (kNoTest | kPrivileged)) || name.starts_with("popf")) return reference;
        if (!undefined.pass(insn, gpr)) return reference;
        if (copies_onto_itself(cpu, insn)) return reference;
        const uint32_t changes = code_changes(machine);
        const auto outcome = machine.engine().run(1);
        if (code_changes(machine) != changes && !may_change_code(insn)) return reference;
        if (outcome.fault) {
          // Flags that would be replaced before anybody could read them are not kept for faults.
          return {outcome.fault, kArithmeticFlags, true};
        }
        continue;
      }
    }
    const auto outcome = machine.engine().run(1);
    if (outcome.fault) return {outcome.fault, undefined.mask(), true};
  }
  return reference;
}

std::string describe(const std::optional<Fault>& fault) {
  if (!fault) return "none";
  return fmt::format("#{} error {:#x} address {:#x}", fault->vector, fault->error_code,
                     fault->vector == kPageFault ? fault->address : 0);
}

std::string listing(const Program& program) {
  std::string text = fmt::format("CPL {}, start {:#x}, flags {:#x}, gpr {:#x}\n", program.cpl, program.start,
                                 program.flags, fmt::join(program.gpr, " "));
  for (size_t at = 0; at < program.code.size();) {
    Insn insn;
    const auto bytes = std::span(program.code).subspan(at);
    std::array<uint8_t, kMaximumInsnLength> padded;
    padded.fill(kFiller);
    std::copy_n(bytes.begin(), std::min(bytes.size(), padded.size()), padded.begin());
    const DecodeError error = decode(padded, CodeMode::bits64, 0, insn);
    const size_t length = std::clamp<size_t>(insn.length, 1, bytes.size());
    text += fmt::format("    {:#x}: {:<40} {:02x}\n", program.start + at,
                        error == DecodeError::none ? disassemble(insn, program.start + at) : "(invalid)",
                        fmt::join(bytes.first(length), " "));
    at += length;
  }
  return text;
}

// Through a window addresses that it can't tell apart may find each other's pages (mmu/window.h). The machine
// has forgotten all addresses before the program.
bool may_have_used_alias(SequenceMachine& machine, const std::optional<Fault>& fault) {
  constexpr uint8_t kAccessed = 0x20;
  if (machine.upper_half_state() & kAccessed) return true;
  return fault && (fault->vector == kGeneralProtection || fault->vector == kStackFault ||
                   (fault->vector == kPageFault && fault->address >= Window::kSize));
}

// Likewise in the UpperView (mmu/upper_view.h), where 8 TiB count.
bool may_have_used_upper_alias(const std::optional<Fault>& fault) {
  if (!fault) return false;
  if (fault->vector == kGeneralProtection || fault->vector == kStackFault) return true;
  const uint64_t place = (fault->address - kUpper) & (UpperView::kSize - 1);
  return fault->vector == kPageFault && place + kPage >= kBase && place < kBase + kSize + kPage &&
         (fault->address - kUpper) >= UpperView::kSize && fault->address >= UpperView::kSize;
}

// Block by block and by tables of the address space, in units and for CPL 3 by windows, or in units of CPL 0
// in the upper half.
enum class Means { tables, windows, upper_view };
class RandomSequences : public ::testing::TestWithParam<Means> {};

TEST_P(RandomSequences, EndAlike) {
  const bool windows = GetParam() == Means::windows, upper = GetParam() == Means::upper_view;
  const uint64_t count = setting("ALCOVE_SEQUENCE_COUNT", kStandardCount);
  const uint64_t seed = setting("ALCOVE_SEQUENCE_SEED", kStandardSeed);
  SequenceMachine interpreter(false), translator(true);
  if (!translator.works()) GTEST_SKIP() << "this host can't run translated code";
  if (windows) {
    translator.engine().open_windows();
    translator.engine().translate_units();
  }
  if (upper) {
    interpreter.make_global();
    translator.make_global();
    translator.engine().translate_units();
  }
  SequenceGenerator generator(seed);
  Watchdog watchdog(translator.cpu());
  Disturber disturber(translator.cpu());
  uint64_t compared = 0, ended = 0;
  unsigned reports = 0;
  bool discarded = false;
  for (uint64_t i = 1; i <= count && reports < kMaximumReports; ++i) {
    const Program generated = generator.generate(), program = upper ? in_upper_half(generated) : generated;
    const bool in_window = windows && program.cpl == 3;
    if (i % 8 == 0 || discarded || in_window) {
      interpreter.forget_addresses();
      translator.forget_addresses();
    }
    interpreter.load_code(program);
    interpreter.load_registers(program);
    const auto before = interpreter.save_memory();
    Reference reference = interpret(interpreter);
    if (in_window && may_have_used_alias(interpreter, reference.fault)) reference.usable = false;
    if (upper && may_have_used_upper_alias(reference.fault)) reference.usable = false;
    discarded = !reference.usable;
    if (discarded) {
      interpreter.restore_memory(before);
      interpreter.unload_code(program);
      translator.unload_code(program);
      continue;
    }
    ++compared;
    ended += reference.fault->vector == kInvalidOpcode;
    // First with what the translator has not seen, then with blocks linked and addresses known, and
    // disturbed.
    for (unsigned round = 0; round < 6 && reports < kMaximumReports; ++round) {
      if (round != 0) translator.restore_memory(before);
      if (round == 0) translator.load_code(program);
      translator.load_registers(program);
      disturber.set(round >= 4);
      watchdog.begin();
      const auto outcome = translator.engine().run_translated();
      watchdog.end();
      disturber.set(false);
      std::string text = SequenceMachine::differences(interpreter, translator, reference.undefined_flags);
      if (describe(outcome.fault) != describe(reference.fault))
        text += fmt::format("  fault: {} and {}\n", describe(reference.fault), describe(outcome.fault));
      if (text.empty()) continue;
      ++reports;
      ADD_FAILURE() << "program " << i << " of seed " << seed << ", round " << round
                    << ": interpreted and translated differ\n"
                    << text << listing(program);
      break;
    }
    if (watchdog.kicked) {
      ADD_FAILURE() << "program " << i << " of seed " << seed << " did not end\n" << listing(program);
      break;
    }
    translator.restore_memory(interpreter.save_memory());
    interpreter.unload_code(program);
    translator.unload_code(program);
  }
  // Most programs are worth the comparison, and many come to their end.
  if (reports == 0) {
    EXPECT_GT(compared, count / (GetParam() == Means::tables ? 2 : 3));
    EXPECT_GT(ended, count / 20);
  }
  RecordProperty("compared", static_cast<int>(compared));
  fmt::print("{} compared, {} came to their end\n", compared, ended);
}

// A loop of several blocks is done several times between two looks at what wants attention. A jump to what
// comes next anyway leads from each time into the first.
TEST(RepeatedLoops, JumpsToWhatComesNext) {
  SequenceMachine interpreter(false), translator(true);
  if (!translator.works()) GTEST_SKIP() << "this host can't run translated code";
  translator.engine().open_windows();
  translator.engine().translate_units();
  Program program{};
  program.start = kCode;
  program.code = {0x80,   0x01, 0x1c,                    // add byte [rcx], 0x1c
                  0x51,                                  // push rcx
                  0x7d,   0x00,                          // jnl to the next
                  0x0f,   0x81, 0xf4, 0xff, 0xff, 0xff,  // jno to the first
                  kFiller};
  program.gpr.fill(kData);
  program.gpr[rsp] = kStack + kPage / 2;
  program.flags = 2;
  program.mxcsr = 0x1f80;
  program.cpl = 3;
  interpreter.load_code(program);
  translator.load_code(program);
  interpreter.load_registers(program);
  const auto before = interpreter.save_memory();
  ASSERT_TRUE(interpreter.engine().run(kMaximumSteps).fault);
  for (int round = 0; round < 4; ++round) {
    translator.restore_memory(before);
    translator.load_registers(program);
    EXPECT_TRUE(translator.engine().run_translated().fault);
    EXPECT_EQ(SequenceMachine::differences(interpreter, translator, 0), "") << round;
  }
}

std::string name_of(const ::testing::TestParamInfo<Means>& means) {
  constexpr const char* kNames[] = {"Tables", "Windows", "UpperView"};
  return kNames[static_cast<size_t>(means.param)];
}

INSTANTIATE_TEST_SUITE_P(Translator, RandomSequences,
                         ::testing::Values(Means::tables, Means::windows, Means::upper_view), name_of);

}  // namespace
}  // namespace alcove::cpu::soft::testing
