// A block as a whole: its instructions in turn, and then what is out of their way.
#include <algorithm>
#include <bit>

#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

// What follows is next in memory. Repeated string instructions that are interrupted leave by themselves.
bool goes_on(const Insn& insn) {
  return !(insn.row->flags & (kEndsBlock | kStops | kBranch)) || plan_of(*insn.row).goes_on;
}

}  // namespace

BlockEmitter::BlockEmitter(Assembler& assembler, const CommonCode& common, Block& block,
                           std::span<const uint8_t> code)
    : a_(assembler), common_(common), block_(block), code_(code) {}

// Flags are live before an instruction if it, or one behind it, may read one that no instruction before that
// has replaced. What follows the block may read all.
void BlockEmitter::find_live_flags() {
  uint16_t live = kArithmeticFlags;
  flags_live_[block_.count] = true;
  for (size_t i = block_.count; i-- > 0;) {
    const Insn& insn = insn_at(i);
    const Plan& plan = plan_of(*insn.row);
    live &= static_cast<uint16_t>(~killed_flags(plan, insn));
    live |= insn.row->effects.read;
    if (!usable(plan, insn)) live = kArithmeticFlags;
    flags_live_[i] = live != 0;
  }
}

bool BlockEmitter::usable(const Plan& plan, const Insn& insn) const {
  if (plan.way == Way::handler) return false;
  const BlockMode& mode = block_.mode;
  if ((insn.row->flags & kSse) && (mode.no_fpu || mode.fpu_away || !mode.sse)) return false;
  return insn.handler != nullptr;
}

Emitted BlockEmitter::emit() {
  find_live_flags();
  choose_swaps();
  Emitted result;
  result.far_entry = a_.size();
  a_.lea(kWord, {.base = kAddress, .displacement = static_cast<int32_t>(-page_offset(0))});
  a_.store(ALCOVE_TRANSLATED(page), kWord);
  result.near_entry = a_.size();
  swap_in();
  loop_entry_ = a_.size();
  for (current_ = 0; current_ < block_.count; ++current_) {
    current_has_stub_ = handled_ = false;
    const Insn& insn = insn_at(current_);
    instruction(insn);
    if (in_window()) update_reach(insn, plan_of(*insn.row));
    if (!current_has_stub_) continue;
    handlers_.back().resume = a_.size();
    handlers_.back().reach = reach_;
  }
  const Insn& last = insn_at(block_.count - 1u);
  if (goes_on(last)) fall_through();
  result.stubs = a_.size();
  result.data = finish_stubs();
  for (const auto& [at, stub] : accesses_)
    result.accesses.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(handlers_[stub].resume)});
  result.size = a_.size();
  return result;
}

void BlockEmitter::instruction(const Insn& insn) {
  const Plan& plan = plan_of(*insn.row);
  if (!usable(plan, insn)) return by_handler(insn);
  switch (plan.way) {
    case Way::handler:
      return by_handler(insn);
    case Way::plain:
      return plain(insn, plan);
    case Way::nothing:
      return;
    case Way::lea:
      return lea(insn);
    case Way::push_register:
      return push_register(insn);
    case Way::push_immediate:
      return push_immediate(insn);
    case Way::push_memory:
      return push_memory(insn);
    case Way::pop_register:
      return pop_register(insn);
    case Way::leave:
      return leave_frame();
    case Way::divide:
      return divide(insn);
    case Way::call_relative:
      return call_relative(insn);
    case Way::call_indirect:
      return call_indirect(insn);
    case Way::jump_relative:
      if (loops()) return loop_back();
      return go_to(page_offset(insn.displacement), insn.displacement <= insn.offset);
    case Way::jump_if:
      return jump_if(insn);
    case Way::jump_indirect:
      return jump_indirect(insn);
    case Way::near_return:
      return near_return(insn);
  }
}

BlockEmitter::HandlerStub& BlockEmitter::handler_stub() {
  if (!current_has_stub_) {
    handlers_.push_back({.insn = current_, .from = {}});
    current_has_stub_ = true;
  }
  return handlers_.back();
}

void BlockEmitter::by_handler(const Insn&) {
  handled_ = true;
  const Assembler::Fixup fixup = a_.jump();
  handler_stub().from.push_back(fixup);
}

size_t BlockEmitter::finish_stubs() {
  struct Data {
    Assembler::Fixup lea;
    const HandlerStub* handler;
    const uint8_t* patch;
    size_t resume;
  };
  std::vector<Data> data;

  std::vector<size_t> handler_starts;
  for (const HandlerStub& stub : handlers_) {
    handler_starts.push_back(a_.size());
    for (const Assembler::Fixup fixup : stub.from) a_.bind(fixup);
    swap_out();
    data.push_back({.lea = a_.lea_rip(kWord), .handler = &stub, .patch = nullptr, .resume = stub.resume});
    a_.jump(common_.run_handler);
    const bool reaches =
        std::ranges::any_of(stub.reach, [](const Reach& reach) { return reach.guest != kNoRegister; });
    if (swaps_.empty() && !reaches) continue;
    data.back().resume = a_.size();
    swap_in();
    restore_reach(stub.reach);
    a_.jump_back(stub.resume);
  }
  for (const UnalignedStub& stub : unaligned_) {
    a_.bind(stub.from);
    a_.move(kAddress, stub.address);
    a_.call(common_.check_page[static_cast<size_t>(std::countr_zero(stub.size)) - 1]);
    const Assembler::Fixup crosses = a_.jump_rcx_zero();
    a_.jump_back(stub.back);
    a_.bind(crosses);
    a_.jump_back(handler_starts[stub.handler]);
  }
  for (const LinkStub& stub : links_) {
    a_.bind(stub.from);
    set_target(stub.page_offset);
    data.push_back(
        {.lea = a_.lea_rip(kWord), .handler = nullptr, .patch = a_.address_of(stub.from.at), .resume = 0});
    a_.jump(common_.leave);
  }
  for (const PollStub& stub : polls_) {
    a_.bind(stub.from);
    if (stub.swapped) swap_out();
    if (!stub.target_known) set_target(stub.page_offset);
    a_.move_immediate(kWord, kNoLink);
    a_.jump(common_.leave);
  }
  const size_t end = a_.size();
  a_.align(8);
  for (const Data& item : data) {
    a_.bind(item.lea);
    if (item.handler) {
      const size_t site = a_.size();
      const size_t resume = goes_on(insn_at(item.handler->insn)) ? item.resume : site;
      a_.word64(reinterpret_cast<uint64_t>(&block_));
      a_.word32(static_cast<uint32_t>(item.handler->insn));
      a_.word32(static_cast<uint32_t>(resume - site));
    } else {
      a_.word64(reinterpret_cast<uint64_t>(&block_));
      a_.word64(reinterpret_cast<uint64_t>(item.patch));
    }
  }
  for (const Branch& branch : branches_) {
    a_.bind(branch.lea, a_.size() + kFarMiss);
    a_.word64(reinterpret_cast<uint64_t>(&insn_at(branch.insn)));
    a_.word64(reinterpret_cast<uint64_t>(&block_));
  }
  // From here on stubs are known by where they begin.
  for (size_t i = 0; i < handlers_.size(); ++i) handlers_[i].resume = handler_starts[i];
  return end;
}

}  // namespace alcove::cpu::soft
