// The ACPI hardware: power button, sleep control, power management timer (ACPI 6.5, 4.8.3), and general
// purpose events (4.8.4). 16 ports.
#pragma once

#include <functional>
#include <mutex>

#include "bus/bus.h"
#include "exec/virtual_clock.h"

namespace alcove::chips {

class AcpiPm final : public bus::Device {
 public:
  // Port offsets, as the FADT tells them.
  static constexpr uint16_t kEvent = 0, kControl = 4, kTimer = 8, kGeneralEvent = 12, kSize = 16;
  static constexpr unsigned kGeneralEvents = 16;
  // The sleep type of S5 in the DSDT's \_S5 package.
  static constexpr uint8_t kSleepTypeOff = 5;
  // The one that EFI firmware for a Q35 has built in means the same.
  static constexpr uint8_t kFirmwareSleepTypeOff = 0;

  // `sci` is level-triggered. `power_off` is called, on a virtual CPU's thread, when the guest enters S5.
  AcpiPm(exec::VirtualClock& clock, bus::InterruptLine& sci, std::function<void()> power_off);

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;

  void press_power_button();                  // Any thread.
  void raise_general_event(unsigned number);  // Below kGeneralEvents. Any thread.
  void reset();                               // As after power-on, in ACPI mode.

 private:
  uint32_t timer_value() const;
  uint64_t timer_ticks() const;
  void note_timer_carry();
  void schedule_timer();
  void update_sci();
  uint16_t register_at(uint64_t offset);

  exec::VirtualClock& clock_;
  bus::InterruptLine& sci_;
  std::function<void()> power_off_;

  std::mutex mutex_;
  uint16_t status_ = 0, enable_ = 0, control_ = 0;
  uint16_t general_status_ = 0, general_enable_ = 0;
  uint64_t carries_seen_ = 0;  // How often the timer's top bit had changed when last looked at.
  exec::Timer timer_;
};

}  // namespace alcove::chips
