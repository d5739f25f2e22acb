#include "machine/entry_state.h"

namespace alcove::machine {

namespace {

// Intel SDM vol. 3: control registers 2.5, EFER 2.2.1, segment types 3.4.5.
constexpr uint64_t kProtectionEnable = 1 << 0, kExtensionType = 1 << 4, kPaging = 1ull << 31;
constexpr uint64_t kPhysicalAddressExtension = 1 << 5;
constexpr uint64_t kLongModeEnable = 1 << 8, kLongModeActive = 1 << 10;
constexpr uint16_t kCode64 = 0xa09b, kCode32 = 0xc09b, kData = 0xc093, kBusyTss = 0x008b, kLdt = 0x0082;

}  // namespace

cpu::X86State entry_state(const boot::LinuxEntry& entry, cpu::X86State state) {
  const bool long_mode = entry.mode == boot::EntryMode::long_mode;
  state.gpr = {};
  state.gpr[cpu::rsi] = entry.zero_page;
  state.gpr[cpu::rbx] = entry.start_info;
  state.rip = entry.instruction;
  state.rflags = 2;
  state.segments.fill({.selector = entry.data_selector, .access = kData, .limit = 0xffffffff});
  state.segments[cpu::cs] = {
      .selector = entry.code_selector, .access = long_mode ? kCode64 : kCode32, .limit = 0xffffffff};
  state.tr = {.access = kBusyTss, .limit = 0x67};  // PVH asks for this limit.
  state.ldtr = {.access = kLdt};
  state.gdtr = {.base = entry.descriptor_table, .limit = entry.descriptor_table_limit};
  state.idtr = {};
  state.cr0 = kProtectionEnable | kExtensionType | (long_mode ? kPaging : 0);
  state.cr2 = 0;
  state.cr3 = entry.page_table;
  state.cr4 = long_mode ? kPhysicalAddressExtension : 0;
  state.cr8 = 0;
  state.efer = long_mode ? kLongModeEnable | kLongModeActive : 0;
  return state;
}

}  // namespace alcove::machine
