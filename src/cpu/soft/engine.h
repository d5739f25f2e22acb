// One processor of the software engine and what all processors of a machine share.
#pragma once

#include <alcove/error.h>

#include <optional>
#include <vector>

#include "cpu/cpu_features.h"
#include "cpu/soft/code/code_cache.h"
#include "cpu/soft/engine_attention.h"
#include "cpu/soft/mmu/flat_map.h"
#include "cpu/soft/mmu/mmu.h"
#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/mmu/world.h"
#include "cpu/soft/translator/translator.h"
#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/sse/mxcsr.h"
#include "memory/populator.h"

namespace alcove::cpu::soft {

class Engine;

struct Shared {
  Shared(memory::GuestMemory& guest_memory, IoHandler& io) : memory(guest_memory, io, populator) {}
  CpuidFilter cpuid_filter;
  memory::Populator populator;
  PhysicalMemory memory;
  World world;
  std::vector<Engine*> engines;
};

// The machine's devices, called while the processor does not hold others up.
class OutsideIo final : public IoHandler {
 public:
  OutsideIo(World& world, World::Member& member, IoHandler& io) : world_(world), member_(member), io_(io) {}
  void port_read(uint16_t port, std::span<std::byte> data) override;
  void port_write(uint16_t port, std::span<const std::byte> data) override;
  void memory_read(uint64_t address, std::span<std::byte> data) override;
  void memory_write(uint64_t address, std::span<const std::byte> data) override;
  void end_of_interrupt(uint8_t vector) override;

 private:
  World& world_;
  World::Member& member_;
  IoHandler& io_;
};

class Engine {
 public:
  Engine(Shared& shared, unsigned index);

  // Lets hot code be translated, where the host allows it. Before the first run().
  void enable_translator() { translator_ = Translator::create(*this, memory_); }
  Translator* translator() { return translator_.get(); }
  // For tests: how often blocks have run when they are translated, the last time included; from 1 on.
  void translate_after(uint8_t runs) { hot_ = runs; }

  Cpu& cpu() { return cpu_; }
  Mmu& mmu() { return mmu_; }
  CodeCache& code() { return code_; }
  IoHandler& io() { return io_; }
  Shared& shared() { return shared_; }
  World::Member& member() { return member_; }

  // As Vcpu::run().
  Exit run();
  // Any thread: makes run() look at Cpu::attention, also while it waits.
  void wake() { cpu_.attention.notify_all(); }

  // Executes until something wants attention, `instructions` have been executed (checked between blocks), or
  // an exception was raised: then Cpu::fault_exit is taken, which the caller has set.
  void execute(uint64_t instruction_limit);
  // Exactly one instruction, or one iteration of it at least; true if it has a prefix that repeats some.
  bool execute_one();

  // To be called first after a jump to Cpu::fault_exit: accounts for the instructions of the block that the
  // jump left.
  void after_jump();

  // Makes stores to these lines (PageState::lines()) take the slow path everywhere, until one has changed
  // some; the generation from which the bytes, read afterwards, are known to be watched.
  uint32_t watch(PageState& state, uint64_t physical_page, uint64_t lines);
  // The same of a table in that page. A processor that has changed it goes on when all have looked at that.
  void watch_table(uint64_t physical_page, uint64_t lines);

  // Called with the store that wrote into the page: what follows in the running block is fetched anew.
  void abandon_block(const PageState& state);
  // What follows in the running block is looked at anew after the present instruction.
  void end_block();

  // Instructions begun since the engine was made; of other threads, an estimate.
  uint64_t executed() const { return executed_; }

  // Around what may take long or call out of the engine.
  void leave() {
    release_mxcsr(cpu_);
    shared_.world.leave(member_);
  }
  void enter() { shared_.world.enter(member_); }

  // The values of longjmp() to Cpu::fault_exit.
  enum Jump : int { kFault = 1, kRefetch = 2, kGiveUp = 3, kShutdown = 4 };
  Error error;  // With kGiveUp.

 private:
  // Runs the block, and what follows it, as translated code; false if it isn't translated.
  bool run_translated(Block& block);
  std::optional<Exit> serve_attention();
  void step();
  // Behind STI: false if the block is not translated.
  bool run_shadowed();
  void wait();
  // Looks for a while whether the wait is over already: the host's way to sleep and back takes longer.
  bool poll();
  Exit outside(Exit exit);

  Shared& shared_;
  CpuMemory memory_;
  Cpu& cpu_ = memory_.cpu();
  World::Member member_{cpu_};
  OutsideIo io_;
  Mmu mmu_;
  CodeCache code_;
  std::unique_ptr<Translator> translator_;
  uint8_t hot_ = Block::kHot;
  uint32_t code_epoch() const { return code_epoch_.load(std::memory_order_acquire); }

  const std::atomic<uint32_t>& code_epoch_;
  Block* block_ = nullptr;  // Being executed.
  uint64_t executed_ = 0;
  uint64_t poll_time_ = 0;  // ns; as long as recent waits make it likely to help.
};

}  // namespace alcove::cpu::soft
