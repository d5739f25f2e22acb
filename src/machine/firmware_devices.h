// What firmware needs of a board beyond what an operating system does: flash with its variables, and the
// device that tells it of the machine.
#pragma once

#include <alcove/error.h>

#include <array>
#include <cstdint>
#include <memory>

#include "chips/debug_port.h"
#include "chips/flash.h"
#include "chips/fw_cfg.h"
#include "machine/board.h"
#include "machine/descriptors.h"
#include "machine/io_router.h"
#include "machine/memory_layout.h"
#include "memory/guest_memory.h"

namespace alcove::machine {

class FirmwareDevices {
 public:
  // Puts the variable store right below the firmware's code. `router` and `memory` outlive it.
  static Result<std::unique_ptr<FirmwareDevices>> create(IoRouter& router, memory::GuestMemory& memory,
                                                         Descriptors& descriptors);

  // Says all that firmware asks for. No processor runs.
  void describe(Board& board, const MemoryLayout& layout, unsigned cpu_count,
                const std::array<uint8_t, 16>& identifier);
  // As after power-on; the variables stay.
  void reset();

 private:
  explicit FirmwareDevices(memory::GuestMemory& memory) : fw_cfg_(memory) {}

  chips::FwCfg fw_cfg_;
  std::unique_ptr<chips::Flash> variable_store_;
  std::unique_ptr<chips::DebugPort> debug_port_;
};

}  // namespace alcove::machine
