// The inner loop: from block to block.
#include <algorithm>

#include "cpu/soft/engine.h"
#include "cpu/soft/x86/threading.h"

namespace alcove::cpu::soft {
namespace {

// Stands in for instructions of a block whose bytes have changed.
void refetch(Cpu& cpu, const Insn&) {
  cpu.rip = cpu.this_rip();
  _longjmp(cpu.fault_exit, Engine::kRefetch);
}

uint64_t wrap_rip(const Cpu& cpu, uint64_t rip) {
  return cpu.code_size == 8   ? rip
         : cpu.code_size == 4 ? static_cast<uint32_t>(rip)
                              : static_cast<uint16_t>(rip);
}

}  // namespace

Engine::Engine(Shared& shared, unsigned index)
    : shared_(shared),
      io_(shared.world, member_, shared.memory.io()),
      mmu_(shared.memory),
      code_(*this),
      code_epoch_(shared.memory.code_epoch()) {
  cpu_.engine = this;
  cpu_.index = index;
  cpu_.tlb = &mmu_.tlb(Privilege::supervisor_user_pages);
  shared_.engines.push_back(this);
  shared_.world.add(member_);
}

void Engine::execute(uint64_t instruction_limit) {
  Cpu& cpu = cpu_;
  const uint64_t end_of_budget = executed_ + std::min(instruction_limit, UINT64_MAX - executed_);
  Block* previous = nullptr;
  int64_t distance = 0;
  for (;;) {
    cpu.insn = nullptr;
    block_ = nullptr;
    if (cpu.attention.load(std::memory_order_acquire) != 0 || cpu.halted || cpu.interrupt_shadow ||
        cpu.single_step || executed_ >= end_of_budget)
      return;
    const uint64_t flushes = code_.flush_count();
    Block* block = code_.find(cpu);
    if (translator_ && instruction_limit == UINT64_MAX && run_translated(*block)) {
      previous = nullptr;
      continue;
    }
    if (previous && flushes == code_.flush_count()) CodeCache::link(*previous, distance, *block);
    for (;;) {
      block_ = block;
      cpu.gpr[kRipRegister] = cpu.rip;
      executed_ += block->count;
      cpu.rip = wrap_rip(cpu, cpu.rip + block->length);  // Unless the last instruction goes elsewhere.
      const Insn* insn = block->instructions();
      const Insn* const end = insn + block->count;
      do {
        cpu.insn = insn;
        insn->handler(cpu, *insn);  // And those behind it, as many as go on by themselves.
        insn = cpu.insn + 1;
      } while (insn < end);

      previous = nullptr;
      if (!block->chains) break;
      distance = static_cast<int64_t>(cpu.rip - cpu.gpr[kRipRegister]);
      Block* next;
      if (distance == block->distances[0]) {
        next = block->followers[0];
      } else if (distance == block->distances[1]) {
        next = block->followers[1];
      } else {
        previous = block;
        break;
      }
      if (!next->valid(code_epoch()) || (translator_ && next->heat != Block::kCold)) {
        previous = block;
        break;
      }
      if (cpu.attention.load(std::memory_order_relaxed) != 0 || executed_ >= end_of_budget) break;
      block = next;
    }
  }
}

bool Engine::run_translated(Block& block) {
  if (block.translation && !translator_->is_here(block)) translator_->drop_page(block);
  if (!block.translation) {
    if (block.heat == Block::kCold) return false;
    ++block.heat;
    if (block.heat < hot_) return false;
    Block* const translated = translator_->translate(block, std::max(1, hot_ / 4));
    if (!translated) {
      block.heat = Block::kCold;
      return false;
    }
    if (!translator_->fits()) return false;
    return translator_->run(*translated);
  }
  if (!translator_->fits()) return false;
  return translator_->run(block);
}

uint32_t Engine::watch(PageState& state, uint64_t physical_page, uint64_t lines) {
  const auto set_lines = [&](uint32_t more_bits) {
    state.lock();
    state.code_lines.fetch_or(lines, std::memory_order_seq_cst);
    state.bits.fetch_or(more_bits, std::memory_order_seq_cst);
    const bool is_protected = state.bits.load(std::memory_order_relaxed) & PageState::kProtected;
    const uint32_t generation = state.code_generation.load(std::memory_order_relaxed);
    state.unlock();
    return std::pair(is_protected, generation);
  };
  auto [is_protected, generation] = set_lines(0);
  if (!is_protected) {
    shared_.world.exclusively(&member_, [&] {
      for (Engine* engine : shared_.engines) engine->mmu().drop_write_tags(physical_page);
      generation = set_lines(PageState::kProtected).second;
    });
  }
  return generation;
}

void Engine::watch_table(uint64_t physical_page, uint64_t lines) {
  PageState* const state = shared_.memory.page(physical_page).state;
  if (!state) return;
  watch(*state, physical_page, lines);
  state->bits.fetch_or(PageState::kTable);
}

bool Engine::execute_one() {
  Cpu& cpu = cpu_;
  cpu.insn = nullptr;
  block_ = nullptr;
  Block* block = code_.find(cpu);
  const std::array<Insn, 2> alone = {block->instructions()[0], end_of_block()};
  const Insn* insn = alone.data();
  cpu.gpr[kRipRegister] = cpu.rip;
  cpu.rip = wrap_rip(cpu, cpu.rip + insn->length);
  ++executed_;
  cpu.insn = insn;
  insn->handler(cpu, *insn);
  cpu.insn = nullptr;
  return insn->rep || insn->repne;
}

void Engine::after_jump() {
  if (translator_) translator_->left();
  if (block_ && cpu_.insn) executed_ -= block_->count - (cpu_.insn - block_->instructions());
  block_ = nullptr;
  cpu_.insn = nullptr;
}

void Engine::abandon_block(const PageState& state) {
  // A block that crosses into another page has one instruction only: nothing follows the store.
  if (block_ && block_->state == &state) end_block();
}

void Engine::end_block() {
  if (!block_) return;
  // The block is out of date, so nobody misses its instructions.
  block_->invalidate(code_epoch());
  Insn* const first = block_->instructions();
  for (Insn* insn = first + (cpu_.insn - first) + 1; insn < first + block_->count; ++insn)
    insn->handler = refetch;
}

}  // namespace alcove::cpu::soft
