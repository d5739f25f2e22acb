// Delivery of one event through the interrupt table of the present mode.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

struct Event {
  uint8_t vector = 0;
  bool has_error_code = false;
  uint32_t error_code = 0;
  bool checks_privilege = false;  // INT n, INT3, INTO: the gate's DPL counts.
  uint64_t rip = 0;               // To return to.
  uint32_t flags = 0;             // To push.
};

void deliver_real(Cpu& cpu, const Event& event);
void deliver_protected(Cpu& cpu, const Event& event);
void deliver_long(Cpu& cpu, const Event& event);

// A task gate's TSS (task_switch.cpp).
void deliver_to_task(Cpu& cpu, const Event& event, uint16_t tss_selector);

}  // namespace alcove::cpu::soft
