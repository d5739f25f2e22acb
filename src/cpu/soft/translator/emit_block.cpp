// A unit as a whole: its instructions in turn, and then what is out of their way.
#include <algorithm>
#include <bit>

#include "cpu/soft/translator/emitter.h"
#include "cpu/soft/x86/decoder.h"

namespace alcove::cpu::soft {
namespace {

constexpr int64_t kPage = memory::kPageSize;

}  // namespace

void BlockEmitter::begin(const Assembler& assembler, std::span<Block* const> blocks, uint64_t page) {
  a_ = assembler;
  page_ = page;
  parts_.clear();
  for (Block* const block : blocks) parts_.push_back({.block = block, .code = block->code()});
  part_ = current_ = 0;
  hosts_ = kHostOf;
  window_mask_ = kNoHostRegister;
  repeats_ = false;
  reach_ = {};
  swaps_.clear();
  forward_.clear();
  handlers_.clear();
  refusals_.clear();
  unaligned_.clear();
  links_.clear();
  exits_.clear();
  polls_.clear();
  branches_.clear();
  accesses_.clear();
  sites_.clear();
  result_.entries.clear();
  result_.accesses.clear();
}

const Emitted& BlockEmitter::emit(const Assembler& assembler, std::span<Block* const> blocks, uint64_t page) {
  begin(assembler, blocks, page);
  find_live_flags();
  find_loops();
  choose_swaps();
  Emitted& result = result_;
  result.entries.push_back({.near = 0, .far = a_.size()});
  enter_page(part());
  result.entries[0].near = a_.size();
  swap_in();
  for (part_ = 0; part_ < parts_.size(); ++part_) {
    begin_part();
    instructions(block().count);
    if (goes_on(part().last())) fall_through();
  }
  part_ = 0;
  result.stubs = a_.size();
  for (size_t i = 1; i < parts_.size(); ++i) result.entries.push_back(make_entry(i));
  result.data = finish_stubs();
  for (const auto& [at, stub] : accesses_)
    result.accesses.push_back({at, static_cast<uint32_t>(handlers_[stub].begin)});
  result.size = a_.size();
  return result;
}

// The first ones of the part.
void BlockEmitter::instructions(size_t count) {
  for (current_ = 0; current_ < count; ++current_) {
    current_has_stub_ = handled_ = false;
    const Insn& insn = insn_at(current_);
    instruction(insn);
    if (in_window() || has_view()) update_reach(insn, plan_of(*insn.row));
    if (!current_has_stub_) continue;
    handlers_.back().resume = a_.size();
    handlers_.back().reach = reach_;
  }
}

// At a far entry: RBP has the linear address of the part.
void BlockEmitter::enter_page(const Part& part) {
  if (is_bound()) return;
  a_.lea(kWord, {.base = kAddress, .displacement = static_cast<int32_t>(-part.page_offset(0))});
  a_.store(ALCOVE_TRANSLATED(page), kWord);
}

void BlockEmitter::begin_part() {
  Part& part = parts_[part_];
  // Only the part before leads here without a jump, if any does: then what it has in RBP and RCX is right.
  if (part.jumped_to || part_ == 0) reach_ = {};
  part.reach = reach_;
  part.begin = a_.size();
  upper_marked_ = false;
  for (const auto& [from, target] : forward_)
    if (target == part_) a_.bind(from);
}

Emitted::Entry BlockEmitter::make_entry(size_t number) {
  const Part& part = parts_[number];
  Emitted::Entry entry;
  entry.far = a_.size();
  enter_page(part);
  entry.near = a_.size();
  swap_in();
  restore_reach(part.reach);
  if (a_.size() == entry.near) entry.near = part.begin;
  a_.jump_back(part.begin);
  return entry;
}

void BlockEmitter::instruction(const Insn& insn) {
  const Plan& plan = plan_of(*insn.row);
  if (!usable(plan, insn)) return by_handler(insn);
  switch (plan.way) {
    case Way::handler:
      return by_handler(insn);
    case Way::plain:
      return plain(insn, plan);
    case Way::vex:
      return vex(insn, plan);
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
    case Way::repeat_movs:
      return repeat_string(insn, true);
    case Way::repeat_stos:
      return repeat_string(insn, false);
    case Way::call_relative:
      return call_relative(insn);
    case Way::call_indirect:
      return call_indirect(insn);
    case Way::jump_relative:
      return lead_to(page_offset(insn.displacement), insn.displacement <= insn.offset);
    case Way::jump_if_counted:
      return jump_if_counted(insn);
    case Way::jump_if:
      return jump_if(insn);
    case Way::jump_indirect:
      return jump_indirect(insn);
    case Way::near_return:
      return near_return(insn);
    case Way::system_call:
      return system_call(insn);
    case Way::system_return:
      return system_return(insn);
    default:
      return system(insn, plan.way);
  }
}

void BlockEmitter::handler_stub() {
  if (current_has_stub_) return;
  handlers_.push_back({.block = part().block, .insn = current_, .first = refusals_.size()});
  current_has_stub_ = true;
}

void BlockEmitter::refuse(Assembler::Fixup jump) {
  handler_stub();
  refusals_.push_back(jump);
}

void BlockEmitter::by_handler(const Insn&) {
  handled_ = true;
  upper_marked_ = false;
  refuse(a_.jump());
}

size_t BlockEmitter::finish_stubs() {
  for (size_t i = 0; i < handlers_.size(); ++i) {
    HandlerStub& stub = handlers_[i];
    stub.begin = a_.size();
    const size_t end = i + 1 < handlers_.size() ? handlers_[i + 1].first : refusals_.size();
    for (size_t jump = stub.first; jump < end; ++jump) a_.bind(refusals_[jump]);
    swap_out();
    sites_.push_back({.lea = a_.lea_rip(kWord),
                      .handler = &stub,
                      .patch = nullptr,
                      .resume = stub.resume,
                      .otherwise = nullptr});
    a_.jump(common_.run_handler);
    const bool reaches =
        std::ranges::any_of(stub.reach, [](const Reach& reach) { return reach.guest != kNoRegister; });
    if (swaps_.empty() && !reaches) continue;
    sites_.back().resume = a_.size();
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
    a_.jump_back(handlers_[stub.handler].begin);
  }
  for (const ExitStub& stub : exits_) {
    a_.bind(stub.from);
    go_to(stub.page_offset, stub.poll);
  }
  for (const LinkStub& stub : links_) {
    a_.bind(stub.from);
    set_target(stub.page_offset);
    const bool changes =
        is_bound() && (stub.page_offset < 0 || stub.page_offset + kMaximumInsnLength > kPage);
    sites_.push_back({.lea = a_.lea_rip(kWord),
                      .handler = nullptr,
                      .patch = a_.address_of(stub.from.at),
                      .resume = 0,
                      .otherwise = nullptr});
    a_.jump(common_.leave);
    if (!changes) continue;
    sites_.back().otherwise = a_.address();
    set_target(stub.page_offset);
    look_up_jump(false);
  }
  for (const PollStub& stub : polls_) {
    a_.bind(stub.from);
    if (stub.swapped) swap_out();
    if (stub.calling) a_.lea(kHostRsp, {.base = kHostRsp, .displacement = 8});
    if (!stub.target_known) set_target(stub.page_offset);
    if (stub.insn)
      branches_.push_back({a_.lea_rip(kWord), stub.block, stub.insn});
    else
      a_.move_immediate(kWord, kNoLink);
    a_.jump(common_.leave);
  }
  const size_t end = a_.size();
  a_.align(8);
  for (const Site& item : sites_) {
    a_.bind(item.lea);
    if (item.handler) {
      const size_t site = a_.size();
      Block* const block = const_cast<Block*>(item.handler->block);
      const Insn& insn = block->instructions()[item.handler->insn];
      const Plan& plan = plan_of(*insn.row);
      const size_t resume = goes_on(insn) ? item.resume : site;
      a_.word64(reinterpret_cast<uint64_t>(block));
      a_.word32(static_cast<uint32_t>(item.handler->insn) |
                static_cast<uint32_t>(operand_use(plan, insn)) << 16 |
                static_cast<uint32_t>(stack_use(plan)) << 24);
      a_.word32(static_cast<uint32_t>(resume - site));
      a_.word64(page_);
    } else {
      a_.word64(reinterpret_cast<uint64_t>(&block()));
      a_.word64(reinterpret_cast<uint64_t>(item.patch));
      a_.word64(reinterpret_cast<uint64_t>(item.otherwise));
      a_.word64(0);
    }
  }
  for (const Branch& branch : branches_) {
    a_.bind(branch.lea, a_.size() + kFarMiss);
    a_.word64(reinterpret_cast<uint64_t>(branch.insn));
    a_.word64(reinterpret_cast<uint64_t>(branch.block));
    a_.word64(page_);
  }
  return end;
}

}  // namespace alcove::cpu::soft
