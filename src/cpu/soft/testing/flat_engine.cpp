#include "cpu/soft/testing/flat_engine.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "cpu/soft/engine_attention.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft::testing {
namespace {

class Nowhere final : public IoHandler {
 public:
  void port_read(uint16_t, std::span<std::byte> data) override { std::ranges::fill(data, std::byte{0xff}); }
  void port_write(uint16_t, std::span<const std::byte>) override {}
  void memory_read(uint64_t, std::span<std::byte> data) override { std::ranges::fill(data, std::byte{0xff}); }
  void memory_write(uint64_t, std::span<const std::byte>) override {}
  void end_of_interrupt(uint8_t) override {}
};

memory::GuestMemory make_memory(uint64_t guest_address, uint64_t size) {
  const std::array<memory::RegionSpec, 2> regions{
      {{.guest_address = guest_address, .size = size},
       {.guest_address = FlatEngine::kRom, .size = memory::kPageSize, .read_only = true}}};
  auto memory = memory::GuestMemory::create(regions);
  if (!memory) std::abort();
  return std::move(*memory);
}

}  // namespace

FlatEngine::FlatEngine(uint64_t guest_address, uint64_t size, IoHandler* io)
    : guest_address_(guest_address),
      nowhere_(io ? nullptr : std::make_unique<Nowhere>()),
      memory_(make_memory(guest_address, size)),
      shared_(std::make_unique<Shared>(memory_, io ? *io : *nowhere_)),
      engine_(std::make_unique<Engine>(*shared_, 0)) {
  shared_->memory.set_code_listener([this](const PageState& page) {
    if (Translator* const translator = engine_->translator()) translator->code_changed(page);
  });
  memory_.set_write_observer(&shared_->memory);
  reset();
}

FlatEngine::~FlatEngine() {
  memory_.set_write_observer(nullptr);
}

Cpu& FlatEngine::cpu() {
  return engine_->cpu();
}

std::span<std::byte> FlatEngine::memory() {
  return {memory_.regions()[0].host, memory_.regions()[0].size};
}

std::span<std::byte> FlatEngine::rom() {
  return {memory_.regions()[1].host, memory_.regions()[1].size};
}

void FlatEngine::reset() {
  Cpu& cpu = engine_->cpu();
  cpu.gpr.fill(0);
  cpu.rip = guest_address_;
  cpu.gpr[rsp] = guest_address_ + memory().size();
  cpu.flags = {};
  cpu.cpl = 0;
  cpu.cr0 = 0x33;    // PE, MP, ET, NE
  cpu.cr4 = 0x620;   // PAE, OSFXSR, OSXMMEXCPT
  cpu.efer = 0xd01;  // SCE, LME, LMA, NXE
  cpu.fpu = {};
  cpu.dr = {};
  cpu.interrupt_shadow = cpu.halted = cpu.single_step = false;
  cpu.pending_debug = 0;
  for (Segment& segment : cpu.segments) {
    segment = {};
    segment.selector = 0x10;
    segment.access = 0xc093;
    segment.limit = ~0u;
  }
  set_code_size(8);
  flush_tlb(cpu, true);
}

void FlatEngine::set_code_size(unsigned bytes) {
  Cpu& cpu = engine_->cpu();
  Segment& code = cpu.segments[cs];
  code.selector = 0x8;
  code.access = bytes == 8 ? 0xa09b : bytes == 4 ? 0xc09b : 0x809b;
  cpu.segments[ss].access = bytes == 2 ? 0x8093 : 0xc093;
  update_mode(cpu);
}

void FlatEngine::write(uint64_t address, std::span<const uint8_t> bytes) {
  if (!memory_.write(address, std::as_bytes(bytes))) std::abort();
}

std::optional<Fault> FlatEngine::attempt(const std::function<void()>& action) {
  Cpu& cpu = engine_->cpu();
  engine_->enter();
  const int jump = setjmp(cpu.fault_exit);
  if (jump == 0) {
    action();
  } else {
    engine_->after_jump();
    if (jump == Engine::kRefetch) action();
  }
  engine_->leave();
  return jump == Engine::kFault ? std::optional(cpu.fault) : std::nullopt;
}

FlatEngine::Outcome FlatEngine::run(unsigned count) {
  Outcome outcome;
  while (outcome.executed < count) {
    outcome.fault = attempt([this] { engine_->execute_one(); });
    if (outcome.fault) break;
    ++outcome.executed;
  }
  return outcome;
}

bool FlatEngine::enable_translator() {
  engine_->enable_translator();
  engine_->translate_after(1);
  if (!engine_->translator()) return false;
  engine_->translator()->open_windows_after(UINT64_MAX);
  return true;
}

void FlatEngine::translate_units() {
  engine_->translate_after(2);
}

void FlatEngine::open_windows() {
  engine_->translator()->open_windows_after(0);
}

FlatEngine::Outcome FlatEngine::run_translated() {
  Outcome outcome;
  Cpu& cpu = engine_->cpu();
  while (!outcome.fault && !cpu.halted && !cpu.single_step) {
    const uint32_t attention = cpu.attention.exchange(0, std::memory_order_acq_rel);
    if (attention & kCodeAttention) {
      engine_->enter();
      engine_->translator()->drop_changed();
      engine_->leave();
    }
    if (attention & kKickAttention) break;
    if (cpu.interrupt_shadow) {
      cpu.interrupt_shadow = false;
      outcome.fault = attempt([this] { engine_->execute_one(); });
    } else {
      outcome.fault = attempt([this] { engine_->execute(UINT64_MAX); });
    }
  }
  return outcome;
}

FlatEngine::Outcome FlatEngine::run_blocks(uint64_t count) {
  const uint64_t before = engine_->executed();
  Outcome outcome;
  outcome.fault = attempt([&] { engine_->execute(count - (engine_->executed() - before)); });
  outcome.executed = static_cast<unsigned>(engine_->executed() - before);
  return outcome;
}

}  // namespace alcove::cpu::soft::testing
