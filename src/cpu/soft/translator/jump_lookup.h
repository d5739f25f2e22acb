// Code that looks a linear address up in the jump cache of a privilege level (mmu/jump_cache.h). It changes
// no flags, and no registers but RCX.
#pragma once

#include "cpu/soft/translator/host_layout.h"

namespace alcove::cpu::soft {

class JumpLookup {
 public:
  // Whether the code that is jumped to is of CPL 3.
  explicit JumpLookup(bool user)
      : user_(user),
        tags_(user ? FlatMap::kLowerJumps : FlatMap::kUpperJumps),
        bits_(user ? JumpCache::kLowerBits : JumpCache::kUpperBits) {}

  // RCX: the index that the address in RBP has in both arrays.
  void index(Assembler& a) const {
    static_assert(JumpCache::kLowerBits == 16);
    if (user_)
      a.op({.opcode = 0xb7, .map = 1}, kWord, kAddress);  // MOVZX
    else
      a.pext(kWord, kAddress, ALCOVE_TRANSLATED(upper_jump).displacement);
  }
  // By that index.
  HostMemory tag() const { return at_index(0); }
  HostMemory code() const { return at_index(JumpCache::codes(bits_)); }
  // JumpCache::Rest, from GS on.
  int32_t rest() const { return tags_ + JumpCache::rest(bits_); }

  // Jumps if the address in RBP is known.
  Assembler::Fixup find(Assembler& a) const {
    index(a);
    a.load(kWord, tag());
    a.lea(kWord, {.base = kWord, .index = kAddress});
    return a.jump_rcx_zero();
  }
  // Where its code's address is then.
  HostMemory found(Assembler& a) const {
    index(a);
    return code();
  }

 private:
  HostMemory at_index(int32_t array) const {
    return {.index = kWord, .scale = 3, .displacement = tags_ + array, .gs = true};
  }

  bool user_;
  int32_t tags_;
  unsigned bits_;
};

static_assert(FlatMap::kLowerJumps == Window::kJumps);

}  // namespace alcove::cpu::soft
