// Addresses of memory operands, and their translation.
#include <bit>

#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

HostRegister BlockEmitter::host_or_load(unsigned guest, HostRegister scratch) {
  if (host(guest) != kNoHostRegister) return host(guest);
  clobber(scratch);
  a_.load(scratch, gpr_slot(guest));
  return scratch;
}

HostMemory BlockEmitter::effective_address(const Insn& insn) {
  int64_t displacement = insn.displacement;
  HostMemory operand;
  if (insn.base == kRipRegister) {
    clobber(kAddress);
    operand.base = kAddress;
    if (is_bound()) {
      load_linear(kAddress, page_offset(displacement));
      displacement = 0;
    } else {
      a_.load(kAddress, ALCOVE_TRANSLATED(page));
      displacement += page_offset(0);
    }
  } else if (insn.base != kNoRegister) {
    operand.base = host_or_load(insn.base, kAddress);
  }
  if (insn.index != kNoRegister) {
    operand.index = host_or_load(insn.index, kWord);
    operand.scale = insn.scale;
  }
  if (displacement != static_cast<int32_t>(displacement)) {
    // A RIP-relative operand at the edge of its reach.
    clobber(kWord);
    a_.move_immediate(kWord, static_cast<uint64_t>(displacement));
    operand.index = kWord;
    displacement = 0;
  }
  operand.displacement = static_cast<int32_t>(displacement);
  return operand;
}

void BlockEmitter::load_address(HostRegister to, const HostMemory& operand, bool wide) {
  if (operand.base != kNoHostRegister || operand.index != kNoHostRegister) {
    a_.lea(to, operand, wide);
  } else {
    const int64_t displacement = operand.displacement;
    a_.move_immediate(to, wide ? static_cast<uint64_t>(displacement) : static_cast<uint32_t>(displacement));
  }
}

HostRegister BlockEmitter::address(const Insn& insn) {
  const bool wide = insn.address_size == 8;
  const HostMemory operand = effective_address(insn);
  clobber(kAddress);
  HostRegister result = kAddress;
  if (operand.base != kNoHostRegister && operand.index == kNoHostRegister && operand.displacement == 0 &&
      wide)
    result = operand.base;
  else
    load_address(kAddress, operand, wide);
  if (insn.segment >= fs) {
    clobber(kWord);
    a_.load(kWord, gs_memory(static_cast<int32_t>(offsetof(Cpu, segment_base) + 8 * insn.segment)));
    a_.lea(kAddress, {.base = result, .index = kWord});
    result = kAddress;
  }
  return result;
}

void BlockEmitter::refuse_if(uint8_t condition) {
  refuse(a_.jump_if(condition));
}

HostMemory BlockEmitter::look_up(HostRegister address, unsigned size, bool write, Unaligned unaligned) {
  const int32_t mask = block().mode.user ? ALCOVE_TRANSLATED(lower_pages).displacement
                                         : ALCOVE_TRANSLATED(all_pages).displacement;
  const bool live = flags_live();
  clobber_both();
  std::optional<Assembler::Fixup> misaligned, aligned;
  if (size > 1) {
    if (live) {
      a_.pext(kWord, address, ALCOVE_TRANSLATED(low_bits).displacement + 8 * (std::countr_zero(size) - 1));
      aligned = a_.jump_rcx_zero();
      misaligned = a_.jump();
    } else {
      a_.test_low(address, static_cast<uint8_t>(size - 1));
      misaligned = a_.jump_if(kHostNotEqual);
    }
  } else if (live) {
    aligned = a_.jump_short();
  }
  size_t island = 0;
  if (live) {
    island = a_.size();
    refuse(a_.jump());
    a_.bind(*aligned);
  }
  const size_t back = a_.size();
  if (misaligned) {
    handler_stub();
    if (unaligned == Unaligned::refuse)
      refuse(*misaligned);
    else
      unaligned_.push_back({*misaligned, address, static_cast<uint8_t>(size), back, handlers_.size() - 1});
  }
  a_.pext(kWord, address, mask);
  if (write) a_.op({.opcode = 0xf7, .wide = true}, 2, kWord);  // NOT
  a_.load(kWord, {.index = kWord, .scale = 3, .displacement = write ? 0 : FlatMap::kReadOffset, .gs = true});
  if (live) {
    a_.jump_rcx_zero_back(island);
  } else {
    a_.op({.opcode = 0x85, .wide = true}, kWord, kWord);
    refuse_if(kHostEqual);
  }
  return {.base = address, .index = kWord, .displacement = -1};
}

HostMemory BlockEmitter::memory_operand(const Insn& insn, unsigned size, bool write, Unaligned unaligned,
                                        bool word_needed) {
  if (by_host_mmu(write)) return window_operand(insn, word_needed);
  const HostMemory operand = look_up(address(insn), size, write, unaligned);
  if (!word_needed) return operand;
  a_.lea(kAddress, operand);
  return {.base = kAddress};
}

HostMemory BlockEmitter::frame_operand(unsigned guest, int32_t displacement, bool write) {
  if (by_host_mmu(write)) return window_at(guest, displacement, Scratch::word);
  if (displacement == 0) return look_up(host(guest), 8, write);
  a_.lea(kAddress, {.base = host(guest), .displacement = displacement});
  return look_up(kAddress, 8, write);
}

void BlockEmitter::note_access() {
  handler_stub();
  accesses_.push_back({static_cast<uint32_t>(a_.size()), static_cast<uint32_t>(handlers_.size() - 1)});
}

}  // namespace alcove::cpu::soft
