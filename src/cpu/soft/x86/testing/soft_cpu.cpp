#include "cpu/soft/x86/testing/soft_cpu.h"

#include <algorithm>
#include <array>

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/host_features.h"
#include "cpu/soft/x86/sse/upper_halves.h"
#include "cpu/soft/x86/testing/layout.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4;
constexpr uint8_t kInvalidInstruction = 0x06;  // In 64-bit mode.
constexpr uint64_t kPaging = uint64_t{1} << 31, kWriteProtect = uint64_t{1} << 16,
                   kOsxsave = uint64_t{1} << 18;

// The two-bit tag of a register that the abridged tag calls used (Intel SDM vol. 1, 8.1.7).
unsigned full_tag(uint64_t significand, uint16_t exponent) {
  if ((exponent & 0x7fff) == 0x7fff) return 2;
  if ((exponent & 0x7fff) == 0) return significand == 0 ? 1 : 2;
  return significand >> 63 ? 0 : 2;
}

}  // namespace

SoftCpu::SoftCpu(bool translated)
    : engine_(kBase, kSize), translated_(translated && engine_.enable_translator()) {
  std::fill_n(memory(kCode), kPage, std::byte{kInvalidInstruction});
  make_page_tables();
  Cpu& cpu = engine_.cpu();
  cpu.cr3 = kTables;
  cpu.cr0 |= kPaging | kWriteProtect;
  if (host_runs_avx()) {
    cpu.cr4 |= kOsxsave;
    cpu.xcr0 |= kXcr0Avx;
  }
  switch_address_space(cpu, false);
  set_code_size(8);
}

void SoftCpu::make_page_tables() {
  const auto set = [this](uint64_t table, uint64_t index, uint64_t value) {
    std::memcpy(memory(table + index * 8), &value, sizeof value);
  };
  for (unsigned level = 0; level < 3; ++level)
    set(kTables + level * kPage, level == 2 ? kBase >> 21 : 0,
        (kTables + (level + 1) * kPage) | kPresent | kWritable | kUser);
  const uint64_t last = kTables + 3 * kPage;
  const auto map = [&](uint64_t address, uint64_t flags) {
    set(last, address >> 12 & 511, address | flags | kPresent | kUser);
  };
  map(kCode, 0);
  for (uint64_t address = kData; address < kData + kDataSize; address += kPage) map(address, kWritable);
  map(kReadOnly, 0);
  map(kStack, kWritable);
}

std::byte* SoftCpu::memory(uint64_t address) {
  return engine_.memory().data() + (address - kBase);
}

void SoftCpu::set_code(std::span<const uint8_t> code) {
  std::array<uint8_t, kMaximumInsnLength> padded;
  padded.fill(kInvalidInstruction);
  std::ranges::copy(code, padded.begin());
  engine_.write(kStart, padded);
}

// A user's process, as the host's side of the comparison is one.
void SoftCpu::set_code_size(unsigned bytes) {
  Cpu& cpu = engine_.cpu();
  cpu.cpl = 3;
  engine_.set_code_size(bytes);
  if (bytes != 2) return;
  for (const SegmentIndex index : {cs, ds, es}) {
    cpu.segments[index].base = kBase;
    cpu.segments[index].limit = kSize - 1;
  }
  cpu.segments[ss].access = 0xc093;
  update_mode(cpu);
}

void SoftCpu::load(const CpuState& state) {
  Cpu& cpu = engine_.cpu();
  if (cpu.code_size != state.code_size) set_code_size(state.code_size);
  std::ranges::copy(state.gpr, cpu.gpr.begin());
  cpu.rip = state.rip;
  cpu.flags.set_value(state.flags);
  FpuState& fpu = cpu.fpu;
  fpu.control = state.fx.get<uint16_t>(FxArea::kControl);
  fpu.status = state.fx.get<uint16_t>(FxArea::kStatus);
  fpu.last_instruction = fpu.last_data = 0;
  fpu.upper_in_use = false;
  fpu.last_opcode = fpu.last_instruction_selector = fpu.last_data_selector = 0;
  fpu.mxcsr = state.fx.get<uint32_t>(FxArea::kMxcsr);
  const auto used = state.fx.get<uint8_t>(FxArea::kTag);
  const unsigned top = fpu.status >> 11 & 7;
  fpu.tag = 0;
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned number = (top + i) & 7;
    FpuState::Register& reg = fpu.physical[number];
    reg.significand = state.fx.get<uint64_t>(FxArea::st(i));
    reg.exponent = state.fx.get<uint16_t>(FxArea::st(i) + 8);
    const unsigned tag = used >> number & 1 ? full_tag(reg.significand, reg.exponent) : 3;
    fpu.tag = static_cast<uint16_t>(fpu.tag | tag << (2 * number));
  }
  for (unsigned i = 0; i < 16; ++i) {
    fpu.ymm[i].words[0] = state.fx.get<uint64_t>(FxArea::xmm(i));
    fpu.ymm[i].words[1] = state.fx.get<uint64_t>(FxArea::xmm(i) + 8);
    fpu.ymm[i].words[2] = state.upper[i][0];
    fpu.ymm[i].words[3] = state.upper[i][1];
    fpu.upper_in_use |= (state.upper[i][0] | state.upper[i][1]) != 0;
  }
}

CpuState SoftCpu::store() {
  const Cpu& cpu = engine_.cpu();
  CpuState state;
  state.code_size = cpu.code_size;
  std::copy_n(cpu.gpr.begin(), 16, state.gpr.begin());
  state.rip = cpu.rip;
  state.flags = cpu.flags.value();
  const FpuState& fpu = cpu.fpu;
  state.fx.set(FxArea::kControl, fpu.control);
  state.fx.set(FxArea::kStatus, fpu.status);
  state.fx.set(FxArea::kMxcsr, fpu.mxcsr);
  const unsigned top = fpu.status >> 11 & 7;
  uint8_t used = 0;
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned number = (top + i) & 7;
    state.fx.set(FxArea::st(i), fpu.physical[number].significand);
    state.fx.set(FxArea::st(i) + 8, fpu.physical[number].exponent);
    if ((fpu.tag >> (2 * number) & 3) != 3) used = static_cast<uint8_t>(used | 1 << number);
  }
  state.fx.set(FxArea::kTag, used);
  for (unsigned i = 0; i < 16; ++i) {
    state.fx.set(FxArea::xmm(i), fpu.ymm[i].words[0]);
    state.fx.set(FxArea::xmm(i) + 8, fpu.ymm[i].words[1]);
    const Ymm value = read_ymm(fpu, i);
    state.upper[i] = {value.words[2], value.words[3]};
  }
  return state;
}

// Translated code does not stop behind an instruction. What it meets there, or where a branch led, is the
// normal end.
bool SoftCpu::ended_behind(const CpuState& before, const Fault& fault) {
  if (engine_.cpu().rip == before.rip) return false;
  constexpr uint32_t kFetchError = 1 << 4;
  return fault.vector == kInvalidOpcode || fault.vector == kGeneralProtection ||
         (fault.vector == kPageFault && (fault.error_code & kFetchError));
}

Result SoftCpu::run(const CpuState& before) {
  load(before);
  FlatEngine::Outcome outcome = translated_ ? engine_.run_translated() : engine_.run(1);
  if (translated_ && outcome.fault && ended_behind(before, *outcome.fault)) outcome.fault.reset();
  Result result{.state = store()};
  if (outcome.fault) {
    result.fault = FaultKind{.vector = outcome.fault->vector};
    if (outcome.fault->vector == kPageFault) {
      result.fault->error_code = outcome.fault->error_code & 2;
      result.fault->address = outcome.fault->address;
    }
  }
  return result;
}

}  // namespace alcove::cpu::soft::testing
