// Memory accesses by the host's MMU, in code for an address space with a window (mmu/window.h). An address is
// brought into the window by its low bits alone: by AND, or by PEXT, which takes two cycles more, where the
// flags are needed. The displacement may be added afterwards, as what it can reach around the window is not
// mapped. Code of CPL 0 reads so from an UpperView (mmu/upper_view.h), always by PEXT, and PDEP.
#include <string_view>

#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

// A displacement and the sum of what a register has moved are within Window::kReach together.
constexpr int32_t kLargestPart = Window::kReach / 2;

// What displacements reach from GS's base on, less the largest access.
constexpr uint64_t kWithinDisplacement = uint64_t{1} << 30;
static_assert(Window::kOffset + kWithinDisplacement - 1 <= INT32_MAX);

bool is_small(int64_t value) {
  return value >= -kLargestPart && value <= kLargestPart;
}

// They write no general register but those that ModRM or the opcode name. Others may write RAX, RCX and RDX.
bool writes_named_only(const Insn& insn, const Plan& plan) {
  constexpr std::string_view kOthers[] = {"mul", "imul", "xchg", "cmpxchg"};
  const std::string_view name = insn.row->mnemonic;
  if (plan.rm == Role::none && name != "bswap" && name != "mov") return false;
  if (plan.exchanges_pair || plan.result_in_rcx) return false;
  for (const std::string_view other : kOthers)
    if (name.starts_with(other)) return false;
  return true;
}

static_assert(Window::kReach == UpperView::kReach);

}  // namespace

bool BlockEmitter::by_host_mmu(bool write) const {
  return in_window() ||
         (!write && has_view() && !not_by_view_->contains(block().physical + insn_at(current_).offset));
}

// What bring_into_window() has made of an address, and a displacement.
HostMemory BlockEmitter::shown(HostRegister scratch, int32_t displacement) const {
  if (!in_window()) return {.base = scratch, .displacement = displacement};
  return {.base = scratch, .displacement = Window::kOffset + displacement, .gs = true};
}

void BlockEmitter::bring_into_window(HostRegister scratch, HostRegister address, bool keep_flags) {
  if (!in_window()) {
    a_.pext(scratch, address, ALCOVE_TRANSLATED(upper_view).displacement);
    if (view_by_pdep_) a_.pdep(scratch, scratch, ALCOVE_TRANSLATED(upper_place).displacement);
    return;
  }
  const HostMemory mask = ALCOVE_TRANSLATED(window);
  const bool in_register = window_mask_ != kNoHostRegister;
  if (keep_flags)
    return in_register ? a_.pext(scratch, address, window_mask_)
                       : a_.pext(scratch, address, mask.displacement);
  a_.move(scratch, address);
  constexpr HostOpcode kAnd{.opcode = 0x23, .wide = true};
  in_register ? a_.op(kAnd, scratch, window_mask_) : a_.op(kAnd, scratch, mask);
}

HostMemory BlockEmitter::window_at(unsigned guest, int32_t displacement, Scratch which) {
  for (const HostRegister scratch : {kAddress, kWord}) {
    const Reach& reach = reach_[scratch == kWord];
    if (reach.guest != guest || which == (scratch == kWord ? Scratch::address : Scratch::word)) continue;
    return shown(scratch, reach.moved + displacement);
  }
  // Frames keep RCX, as far as possible, and all else has RBP.
  const bool word = which == Scratch::word || (which == Scratch::either && (guest == rsp || guest == rbp));
  const HostRegister scratch = word ? kWord : kAddress;
  if (guest != kRipRegister && host(guest) != kNoHostRegister)
    bring_into_window(scratch, host(guest), flags_live());
  else
    load_into_window(scratch, guest, 0);
  reach_[scratch == kWord] = {.guest = static_cast<uint8_t>(guest), .moved = 0};
  return shown(scratch, displacement);
}

HostMemory BlockEmitter::window_operand(const Insn& insn, bool word_needed) {
  const int64_t displacement = insn.displacement;
  if (insn.address_size == 8 && insn.segment < fs && insn.base < 16 && insn.index == kNoRegister &&
      is_small(displacement))
    return window_at(insn.base, static_cast<int32_t>(displacement),
                     word_needed ? Scratch::address : Scratch::either);
  // All code of a unit is of one page.
  const int64_t from_page = page_offset(displacement);
  if (insn.address_size == 8 && insn.segment < fs && insn.base == kRipRegister && is_bound() && in_window()) {
    const uint64_t place = (page_ + static_cast<uint64_t>(from_page)) & Window::kMask;
    if (place < kWithinDisplacement) return gs_memory(Window::kOffset + static_cast<int32_t>(place));
  }
  if (insn.address_size == 8 && insn.segment < fs && insn.base == kRipRegister && is_small(from_page))
    return window_at(kRipRegister, static_cast<int32_t>(from_page),
                     word_needed ? Scratch::address : Scratch::either);
  const HostRegister linear = address(insn);
  clobber(kAddress);
  bring_into_window(kAddress, linear, flags_live());
  return shown(kAddress, 0);
}

void BlockEmitter::guest_moved(unsigned guest, int64_t by) {
  for (Reach& reach : reach_) {
    if (reach.guest != guest) continue;
    if (is_small(by) && is_small(reach.moved + by))
      reach.moved += static_cast<int32_t>(by);
    else
      reach = {};
  }
}

void BlockEmitter::guest_written(unsigned guest) {
  for (Reach& reach : reach_)
    if (reach.guest == guest) reach = {};
}

void BlockEmitter::update_reach(const Insn& insn, const Plan& plan) {
  if (handled_ || !usable(plan, insn)) return clobber_both();
  switch (plan.way) {
    case Way::nothing:
    case Way::jump_if:  // On the way to what is next.
      return;
    case Way::push_register:
    case Way::push_immediate:
    case Way::push_memory:
      return guest_moved(rsp, -8);
    case Way::pop_register:
      if (insn.reg != rsp) guest_moved(rsp, 8);
      return guest_written(insn.reg);
    case Way::lea:
      if (insn.base == insn.reg && insn.index == kNoRegister && insn.operand_size == 8 &&
          insn.address_size == 8)
        return guest_moved(insn.reg, insn.displacement);
      return guest_written(insn.reg);
    case Way::vex:
      if (plan.reg == Role::general) guest_written(insn.reg);
      if (plan.vvvv == Role::general) guest_written(insn.vvvv);
      if (plan.rm == Role::general && insn.is_register) guest_written(insn.rm);
      if (plan.result_in_rcx) guest_written(rcx);
      return;
    case Way::plain:
      break;
    default:
      return clobber_both();
  }
  if (!writes_named_only(insn, plan))
    for (const Gpr other : {rax, rcx, rdx}) guest_written(other);
  const bool reg_written =
      plan.reg == Role::general && (plan.rm_first ? plan.writes_second : plan.writes_first);
  const bool rm_written = plan.rm == Role::general && insn.is_register &&
                          (plan.rm_first ? plan.writes_first : plan.writes_second);
  const std::string_view name = insn.row->mnemonic;
  const bool adds = name == "add", subtracts = name == "sub";
  if (rm_written && !reg_written && insn.operand_size == 8 && (adds || subtracts) && plan.reg == Role::none) {
    const int64_t by = insn.immediate;
    return guest_moved(insn.rm, adds ? by : -by);
  }
  // Of AH to BH the full registers change.
  const auto written = [&](unsigned number, unsigned byte) {
    guest_written(number);
    if (insn.operand_size == 1 && byte % 8 == 1) guest_written(byte / 8);
  };
  if (reg_written) written(insn.reg, insn.reg_byte);
  if (rm_written) written(insn.rm, insn.rm_byte);
}

// After a handler, which leaves nothing in RBP and RCX.
void BlockEmitter::restore_reach(const std::array<Reach, 2>& reach) {
  for (const HostRegister scratch : {kAddress, kWord}) {
    const Reach& wanted = reach[scratch == kWord];
    if (wanted.guest != kNoRegister) load_into_window(scratch, wanted.guest, wanted.moved);
  }
}

// What the register was before it moved. kRipRegister stands for the page of the code.
void BlockEmitter::load_into_window(HostRegister scratch, unsigned guest, int32_t moved) {
  HostRegister from = scratch;
  if (guest == kRipRegister && is_bound()) {
    const uint64_t linear = page_ - static_cast<uint64_t>(int64_t{moved});
    a_.move_immediate(scratch, in_window() ? linear & Window::kMask : linear);
    if (!in_window()) bring_into_window(scratch, scratch, true);
    return;
  }
  if (guest == kRipRegister)
    a_.load(scratch, ALCOVE_TRANSLATED(page));
  else if (host(guest) == kNoHostRegister)
    a_.load(scratch, gpr_slot(guest));
  else
    from = host(guest);
  if (moved != 0) {
    a_.lea(scratch, {.base = from, .displacement = -moved});
    from = scratch;
  }
  bring_into_window(scratch, from, true);
}

}  // namespace alcove::cpu::soft
