#include "cpu/soft/testing/sequence_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/host_features.h"
#include "cpu/soft/x86/sse/upper_halves.h"

namespace alcove::cpu::soft::testing {
namespace {

using namespace sequence;

constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40, kGlobal = 0x100,
                   kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kPaging = uint64_t{1} << 31, kWriteProtect = uint64_t{1} << 16, kCr4GlobalPages = 0x80,
                   kCr4Osxsave = 1u << 18;
constexpr uint64_t kLastTable = kTables + 3 * kPage;
constexpr size_t kTablesSize = 4 * kPage;

}  // namespace

Program in_upper_half(Program program) {
  program.cpl = 0;
  program.start |= kUpper;
  for (uint64_t* const value : {&program.fs_base, &program.gs_base})
    if (*value >= kBase && *value < kBase + kSize) *value |= kUpper;
  for (uint64_t& value : program.gpr)
    if (value >= kBase && value < kBase + kSize) value |= kUpper;
  return program;
}

SequenceMachine::SequenceMachine(bool translated) : engine_(kBase, kSize) {
  std::fill_n(engine_.memory().begin() + (kCode - kBase), kCodeEnd - kCode, std::byte{kFiller});
  if (translated) works_ = engine_.enable_translator();
  make_page_tables();
  cpu().cr3 = kTables;
  cpu().cr0 |= kPaging | kWriteProtect;
  cpu().cr4 |= kCr4GlobalPages;
  if (host_runs_avx()) {
    cpu().cr4 |= kCr4Osxsave;
    cpu().xcr0 |= kXcr0Avx;
  }
  flush_tlb(cpu(), true);
  update_mode(cpu());
}

void SequenceMachine::make_page_tables() {
  const auto set = [this](uint64_t table, uint64_t index, uint64_t value) {
    std::memcpy(engine_.memory().data() + (table - kBase) + index * 8, &value, sizeof value);
  };
  constexpr uint64_t kAll = kPresent | kWritable | kUser;
  set(kTables, 0, (kTables + kPage) | kAll);
  set(kTables, kUpperIndex, (kTables + kPage) | kAll);
  set(kTables + kPage, 0, (kTables + 2 * kPage) | kAll);
  set(kTables + 2 * kPage, kBase >> 21, kLastTable | kAll);
  const auto map = [&](uint64_t begin, uint64_t end, uint64_t bits) {
    for (uint64_t page = begin; page < end; page += kPage)
      set(kLastTable, page >> 12 & 511, page | bits | kPresent);
  };
  map(kCode, kCodeEnd, kWritable | kUser);
  map(kData, kData + kPage, kWritable | kUser | kNoExecute);
  map(kData + kPage, kDataEnd, kWritable | kUser | kNoExecute | kGlobal);
  map(kReadOnly, kReadOnly + kPage, kUser | kNoExecute);
  map(kSupervisor, kSupervisor + kPage, kWritable | kNoExecute);
  map(kStack, kStackEnd, kWritable | kUser | kNoExecute);
}

void SequenceMachine::make_global() {
  for (size_t at = kLastTable - kBase; at < kTablesSize; at += 8)
    engine_.memory()[at + 1] |= std::byte{kGlobal >> 8};
  flush_tlb(cpu(), true);
}

uint8_t SequenceMachine::upper_half_state() {
  return static_cast<uint8_t>(engine_.memory()[kUpperIndex * 8]);
}

void SequenceMachine::load_code(const Program& program) {
  engine_.write(program.start & ~kUpper, program.code);
}

void SequenceMachine::unload_code(const Program& program) {
  engine_.write(program.start & ~kUpper, std::vector<uint8_t>(program.code.size(), kFiller));
}

void SequenceMachine::load_registers(const Program& program) {
  Cpu& cpu = engine_.cpu();
  std::ranges::copy(program.gpr, cpu.gpr.begin());
  cpu.rip = program.start;
  cpu.flags.set_value(program.flags);
  cpu.fpu = {};
  for (unsigned i = 0; i < 64; ++i) cpu.fpu.ymm[i / 4].words[i % 4] = program.vectors[i];
  cpu.fpu.upper_in_use = host_runs_avx();
  cpu.fpu.mxcsr = program.mxcsr;
  cpu.cpl = program.cpl;
  cpu.segments[fs].base = program.fs_base;
  cpu.segments[gs].base = program.gs_base;
  cpu.in_delivery = InDelivery::nothing;
  cpu.halted = cpu.single_step = cpu.interrupt_shadow = false;
  update_mode(cpu);
}

void SequenceMachine::forget_addresses() {
  for (size_t i = 0; i < kTablesSize; i += 8) {
    uint64_t entry;
    std::byte* const at = engine_.memory().data() + i;
    std::memcpy(&entry, at, sizeof entry);
    entry &= ~(kAccessed | kDirty);
    std::memcpy(at, &entry, sizeof entry);
  }
  flush_tlb(cpu(), true);
}

void SequenceMachine::restore_memory(const std::vector<std::byte>& saved) {
  std::byte* const memory = engine_.memory().data();
  for (uint64_t page = kCode; page < kStackEnd; page += kPage) {
    const size_t offset = page - kBase;
    if (std::memcmp(memory + offset, saved.data() + offset, kPage) == 0) continue;
    const auto* const bytes = reinterpret_cast<const uint8_t*>(saved.data() + offset);
    if (page >= kCode && page < kCodeEnd)
      engine_.write(page, {bytes, kPage});
    else
      std::memcpy(memory + offset, bytes, kPage);
  }
}

std::string SequenceMachine::differences(SequenceMachine& one, SequenceMachine& other,
                                         uint32_t ignored_flags) {
  std::string text;
  const auto compare = [&text](std::string_view what, uint64_t a, uint64_t b) {
    if (a != b) text += fmt::format("  {}: {:#x} and {:#x}\n", what, a, b);
  };
  constexpr const char* kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  const Cpu &a = one.cpu(), &b = other.cpu();
  for (unsigned i = 0; i < 16; ++i) compare(kNames[i], a.gpr[i], b.gpr[i]);
  compare("rip", a.rip, b.rip);
  compare("flags", a.flags.value() & ~ignored_flags, b.flags.value() & ~ignored_flags);
  for (unsigned i = 0; i < 16; ++i) {
    const Ymm in_a = read_ymm(a.fpu, i), in_b = read_ymm(b.fpu, i);
    for (unsigned word = 0; word < 4; ++word)
      compare(fmt::format("ymm{} word {}", i, word), in_a.words[word], in_b.words[word]);
  }
  compare("mxcsr", a.fpu.mxcsr, b.fpu.mxcsr);
  compare("x87 status", a.fpu.status, b.fpu.status);
  compare("x87 tag", a.fpu.tag, b.fpu.tag);
  compare("last x87 instruction", a.fpu.last_instruction, b.fpu.last_instruction);
  compare("last x87 operand", a.fpu.last_data, b.fpu.last_data);
  for (unsigned i = 0; i < 8; ++i)
    compare(fmt::format("x87 register {}", i), a.fpu.physical[i].significand, b.fpu.physical[i].significand);
  compare("fs base", a.segment_base[fs], b.segment_base[fs]);
  compare("gs base", a.segment_base[gs], b.segment_base[gs]);
  const auto memory_a = one.engine_.memory(), memory_b = other.engine_.memory();
  if (std::memcmp(memory_a.data(), memory_b.data(), kSize) == 0) return text;
  unsigned reported = 0;
  for (size_t i = 0; i < kSize && reported < 10; ++i) {
    if (memory_a[i] == memory_b[i]) continue;
    compare(fmt::format("memory at {:#x}", kBase + i), std::to_integer<unsigned>(memory_a[i]),
            std::to_integer<unsigned>(memory_b[i]));
    ++reported;
  }
  return text;
}

}  // namespace alcove::cpu::soft::testing
