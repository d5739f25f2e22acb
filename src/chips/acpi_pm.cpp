#include "chips/acpi_pm.h"

#include <cstring>

#include "spec/acpi.h"

namespace alcove::chips {

using namespace spec::acpi;

namespace {
constexpr uint16_t kStatusBits = pm1::timer | pm1::global | pm1::power_button | pm1::rtc | pm1::wake_status;
constexpr uint16_t kEnableBits = pm1::timer | pm1::global | pm1::power_button | pm1::rtc;
constexpr unsigned kCarryShift = 31;  // The status bit follows the top bit of the timer (4.8.3.1.1).
}  // namespace

AcpiPm::AcpiPm(exec::VirtualClock& clock, bus::InterruptLine& sci, std::function<void()> power_off)
    : clock_(clock), sci_(sci), power_off_(std::move(power_off)), timer_(clock, [this] {
        std::lock_guard lock(mutex_);
        note_timer_carry();
        schedule_timer();
        update_sci();
      }) {
  reset();
}

void AcpiPm::reset() {
  std::lock_guard lock(mutex_);
  status_ = enable_ = 0;
  general_status_ = general_enable_ = 0;
  // There is no SMI command to enter ACPI mode with (FADT: SMI_CMD 0), so that it is always on.
  control_ = pm1::sci_enable;
  carries_seen_ = timer_ticks() >> kCarryShift;
  timer_.clear();
  update_sci();
}

uint64_t AcpiPm::timer_ticks() const {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(clock_.now().count()) * kPmTimerFrequency /
                               1'000'000'000);
}

uint32_t AcpiPm::timer_value() const {
  return static_cast<uint32_t>(timer_ticks());
}

void AcpiPm::note_timer_carry() {
  const uint64_t carries = timer_ticks() >> kCarryShift;
  if (carries != carries_seen_) status_ |= pm1::timer;
  carries_seen_ = carries;
}

void AcpiPm::schedule_timer() {
  if (!(enable_ & pm1::timer)) return timer_.clear();
  const auto next = static_cast<unsigned __int128>(carries_seen_ + 1) << kCarryShift;
  timer_.set(exec::Nanoseconds(static_cast<int64_t>(next * 1'000'000'000 / kPmTimerFrequency + 1)));
}

// The line is set with the mutex held, so that it ends in the state that the registers ended in.
void AcpiPm::update_sci() {
  sci_.set((status_ & enable_ & kEnableBits) || (general_status_ & general_enable_));
}

void AcpiPm::press_power_button() {
  std::lock_guard lock(mutex_);
  status_ |= pm1::power_button;
  update_sci();
}

void AcpiPm::raise_general_event(unsigned number) {
  std::lock_guard lock(mutex_);
  general_status_ |= static_cast<uint16_t>(1u << number);
  update_sci();
}

uint16_t AcpiPm::register_at(uint64_t offset) {
  switch (offset) {
    case kEvent:
      note_timer_carry();
      return status_;
    case kEvent + 2:
      return enable_;
    case kControl:
      return control_;
    case kGeneralEvent:
      return general_status_;
    case kGeneralEvent + 2:
      return general_enable_;
    default:
      return 0;
  }
}

bus::Access AcpiPm::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() > 4 || offset % data.size() != 0) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  const uint64_t word = offset & ~uint64_t{3};
  const uint32_t value =
      word == kTimer ? timer_value() : static_cast<uint32_t>(register_at(word) | register_at(word + 2) << 16);
  std::memcpy(data.data(), reinterpret_cast<const std::byte*>(&value) + (offset - word), data.size());
  return bus::Access::done;
}

bus::Access AcpiPm::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() > 4 || offset % data.size() != 0) return bus::Access::bad_size;
  bool off = false;
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < data.size(); ++i) {
      const uint64_t port = offset + i;
      const unsigned shift = port % 2 * 8;
      const auto bits = static_cast<uint16_t>(std::to_integer<unsigned>(data[i]) << shift);
      const auto kept = static_cast<uint16_t>(~(0xff << shift));
      switch (port & ~uint64_t{1}) {
        case kEvent:
          note_timer_carry();
          status_ &= ~(bits & kStatusBits);  // Cleared by writing ones.
          break;
        case kEvent + 2:
          enable_ = ((enable_ & kept) | bits) & kEnableBits;
          schedule_timer();
          break;
        case kControl: {
          // Sleep enable reads as zero (4.8.3.2.1).
          control_ = ((control_ & kept) | bits | pm1::sci_enable) & ~pm1::sleep_enable;
          const auto type = (control_ & pm1::sleep_type_mask) >> pm1::sleep_type_shift;
          off |= (bits & pm1::sleep_enable) && (type == kSleepTypeOff || type == kFirmwareSleepTypeOff);
          break;
        }
        case kGeneralEvent:
          general_status_ &= ~bits;
          break;
        case kGeneralEvent + 2:
          general_enable_ = (general_enable_ & kept) | bits;
          break;
        default:
          break;
      }
    }
    update_sci();
  }
  if (off) power_off_();
  return bus::Access::done;
}

}  // namespace alcove::chips
