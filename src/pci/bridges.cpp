#include "pci/bridges.h"

namespace alcove::pci {
namespace {

constexpr uint16_t kIntel = 0x8086;

}  // namespace

HostBridge::HostBridge(uint64_t ecam_base)
    : Function(
          {.vendor = kIntel, .device = 0x29c0, .class_code = spec::pci::kClassHostBridge, .revision = 2}) {
  // PCIEXBAR: enabled, 256 MiB (Intel 3 Series Chipset datasheet, section 5.1.16).
  set32(0x60, static_cast<uint32_t>(ecam_base) | 1);
  set32(0x64, static_cast<uint32_t>(ecam_base >> 32));
}

LpcBridge::LpcBridge(uint16_t power_management_base)
    : Function(
          {.vendor = kIntel, .device = 0x2918, .class_code = spec::pci::kClassIsaBridge, .revision = 2}) {
  // PCICMD: ports and memory behind it are always decoded (13.1.3). EFI firmware looks for COM1 only where
  // ports are.
  using namespace spec::pci;
  set16(kCommand, kCommandPorts | kCommandMemory | kCommandBusMaster);
  set32(0x40, power_management_base | 1u);  // PMBASE (Intel ICH9 datasheet, section 13.1.13).
  set8(0x44, 0x80);                         // ACPI_CNTL: enabled, SCI on IRQ 9 (13.1.14).
  for (uint16_t route : {0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b}) {
    set8(route, 0x80, 0x8f);  // PIRQx_ROUT: not routed (13.1.17, 13.1.19).
  }
}

}  // namespace alcove::pci
