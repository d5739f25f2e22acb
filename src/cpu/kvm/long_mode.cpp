#include "cpu/kvm/long_mode.h"

namespace alcove::cpu::kvm {

bool write_identity_tables(memory::GuestMemory& memory) {
  constexpr uint64_t kPresentWritableUser = 7, kLarge = 0x80;
  constexpr uint64_t kLevel3 = kIdentityTables + 0x1000, kLevel2 = kIdentityTables + 0x2000;
  bool done = memory.store(kIdentityTables, kLevel3 | kPresentWritableUser) &&
              memory.store(kLevel3, kLevel2 | kPresentWritableUser);
  for (uint64_t i = 0; i < 512; ++i)
    done = done && memory.store(kLevel2 + 8 * i, i << 21 | kLarge | kPresentWritableUser);
  return done;
}

X86State long_mode_state(X86State state, uint64_t rip, uint64_t rsp_value) {
  constexpr uint16_t kCode = 0xa09b, kData = 0xc093;  // Present, DPL 0; 64-bit code, 32-bit data.
  state.segments[cs] = {.selector = 8, .access = kCode, .limit = 0xffffffff, .base = 0};
  for (SegmentIndex segment : {es, ss, ds, fs, gs}) {
    state.segments[segment] = {.selector = 16, .access = kData, .limit = 0xffffffff, .base = 0};
  }
  state.tr.access = 0x8b;
  state.cr0 = 0x80050033;  // PG WP AM NE ET MP PE
  state.cr3 = kIdentityTables;
  state.cr4 = 0x620;   // PAE OSFXSR OSXMMEXCPT
  state.efer = 0xd00;  // LME LMA NXE
  state.rflags = 2;
  state.rip = rip;
  state.gpr[rsp] = rsp_value;
  return state;
}

}  // namespace alcove::cpu::kvm
