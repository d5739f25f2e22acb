// The two functions of a Q35 that firmware and kernels look for: the host bridge (00:00.0) and the LPC bridge
// (00:1f.0).
#pragma once

#include "pci/function.h"

namespace alcove::pci {

// Intel 82G33 (Q35) memory controller hub: 8086:29c0. The machine's memory layout is fixed, so its registers
// that tell of it cannot be changed.
class HostBridge final : public Function {
 public:
  explicit HostBridge(uint64_t ecam_base);
};

// Intel ICH9 LPC interface: 8086:2918. What lies behind it (ACPI power management at `power_management_base`,
// legacy devices) is decoded by the machine, always.
class LpcBridge final : public Function {
 public:
  explicit LpcBridge(uint16_t power_management_base);
};

}  // namespace alcove::pci
