#include "chips/rtc.h"

#include <algorithm>
#include <chrono>

namespace alcove::chips {

namespace {

using namespace std::chrono_literals;

enum Register : uint8_t {
  kSeconds,
  kSecondsAlarm,
  kMinutes,
  kMinutesAlarm,
  kHours,
  kHoursAlarm,
  kWeekday,
  kDay,
  kMonth,
  kYear,
  kA,
  kB,
  kC,
  kD,
};

constexpr uint8_t kUpdateInProgress = 0x80;                                      // A
constexpr uint8_t kRateMask = 0x0f;                                              // A
constexpr uint8_t kSet = 0x80, kPeriodic = 0x40, kAlarm = 0x20, kUpdate = 0x10;  // B, and flags in C
constexpr uint8_t kBinary = 0x04, k24Hours = 0x02;                               // B
constexpr uint8_t kInterruptFlag = 0x80;                                         // C
constexpr uint8_t kValid = 0x80;                                                 // D
constexpr uint8_t kAnyValue = 0xc0;  // An alarm register with both upper bits set matches all.

// The update flag rises this long before the time changes (MC146818 datasheet, table 6).
constexpr auto kUpdateWarning = 244us;

bool is_time(uint8_t index) {
  return index == kSeconds || index == kMinutes || index == kHours || (index >= kWeekday && index <= kYear) ||
         index == Rtc::kCentury;
}

}  // namespace

Rtc::Rtc(exec::VirtualClock& clock, bus::InterruptLine& line)
    : clock_(clock), line_(line), timer_(clock, [this] { on_timer(); }) {
  memory_[kA] = 0x26;  // 32.768 kHz time base, 1024 Hz periodic rate.
  memory_[kB] = k24Hours;
}

void Rtc::reset() {
  std::lock_guard lock(mutex_);
  index_ = 0;
  memory_[kB] &= ~(kPeriodic | kAlarm | kUpdate | kSet);
  memory_[kC] = 0;
  schedule();
  update_line();
}

void Rtc::set_memory(uint8_t index, uint8_t value) {
  std::lock_guard lock(mutex_);
  memory_[index] = value;
}

exec::Nanoseconds Rtc::local_now() const {
  return clock_.wall() + offset_;
}

Rtc::Time Rtc::time() const {
  using namespace std::chrono;
  const auto seconds = floor<std::chrono::seconds>(local_now());
  const sys_days day = floor<days>(sys_seconds(seconds));
  const year_month_day date(day);
  const hh_mm_ss clock(sys_seconds(seconds) - day);
  return {.year = static_cast<int>(date.year()),
          .month = static_cast<int>(static_cast<unsigned>(date.month())),
          .day = static_cast<int>(static_cast<unsigned>(date.day())),
          .weekday = static_cast<int>(weekday(day).c_encoding()) + 1,
          .hour = static_cast<int>(clock.hours().count()),
          .minute = static_cast<int>(clock.minutes().count()),
          .second = static_cast<int>(clock.seconds().count())};
}

void Rtc::set_time(const Time& time) {
  using namespace std::chrono;
  // The guest may have written anything. The years are those that 64 bits of nanoseconds hold.
  const year_month first = year(std::clamp(time.year, 1900, 2199)) / std::clamp(time.month, 1, 12);
  const sys_days day = sys_days(first / 1) + days(std::clamp(time.day, 1, 31) - 1);
  const exec::Nanoseconds wanted =
      day.time_since_epoch() + hours(time.hour) + minutes(time.minute) + seconds(time.second);
  offset_ = wanted - clock_.wall();
}

uint8_t Rtc::encode(int value) const {
  return static_cast<uint8_t>(memory_[kB] & kBinary ? value : value / 10 << 4 | value % 10);
}

int Rtc::decode(uint8_t value) const {
  return memory_[kB] & kBinary ? value : (value >> 4) * 10 + (value & 15);
}

uint8_t Rtc::encode_hour(int hour) const {
  if (memory_[kB] & k24Hours) return encode(hour);
  return static_cast<uint8_t>(encode((hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0));
}

int Rtc::decode_hour(uint8_t value) const {
  if (memory_[kB] & k24Hours) return decode(value);
  return decode(value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

uint8_t Rtc::read_register(uint8_t index) {
  const bool set = memory_[kB] & kSet;
  if (is_time(index) && !set) {
    const Time now = time();
    switch (index) {
      case kSeconds:
        return encode(now.second);
      case kMinutes:
        return encode(now.minute);
      case kHours:
        return encode_hour(now.hour);
      case kWeekday:
        return encode(now.weekday);
      case kDay:
        return encode(now.day);
      case kMonth:
        return encode(now.month);
      case kYear:
        return encode(now.year % 100);
      default:
        return encode(now.year / 100);
    }
  }
  switch (index) {
    case kA: {
      const auto into = local_now() - std::chrono::floor<std::chrono::seconds>(local_now());
      return static_cast<uint8_t>(memory_[kA] |
                                  (!set && into >= 1s - kUpdateWarning ? kUpdateInProgress : 0));
    }
    case kC: {
      const uint8_t flags = memory_[kC];
      memory_[kC] = 0;  // Reading acknowledges.
      update_line();
      return flags;
    }
    case kD:
      return kValid;
    default:
      return memory_[index];
  }
}

void Rtc::write_register(uint8_t index, uint8_t value) {
  if (is_time(index)) {
    if (memory_[kB] & kSet) {
      memory_[index] = value;
      return;
    }
    // Without SET a register changes at once; the others go on.
    Time now = time();
    switch (index) {
      case kSeconds:
        now.second = decode(value);
        break;
      case kMinutes:
        now.minute = decode(value);
        break;
      case kHours:
        now.hour = decode_hour(value);
        break;
      case kDay:
        now.day = decode(value);
        break;
      case kMonth:
        now.month = decode(value);
        break;
      case kYear:
        now.year = now.year / 100 * 100 + decode(value);
        break;
      case kCentury:
        now.year = decode(value) * 100 + now.year % 100;
        break;
      default:
        break;  // The weekday follows from the date.
    }
    return set_time(now);
  }
  switch (index) {
    case kA:
      memory_[kA] = value & ~kUpdateInProgress;
      return schedule();
    case kB: {
      const uint8_t before = memory_[kB];
      if (!(before & kSet) && (value & kSet)) {
        for (const uint8_t i : {kSeconds, kMinutes, kHours, kWeekday, kDay, kMonth, kYear}) {
          memory_[i] = read_register(i);
        }
        memory_[kCentury] = read_register(kCentury);
        value &= ~kUpdate;  // SET clears the update interrupt (datasheet, register B).
      }
      memory_[kB] = value;
      if ((before & kSet) && !(value & kSet)) {
        set_time({.year = decode(memory_[kCentury]) * 100 + decode(memory_[kYear]),
                  .month = decode(memory_[kMonth]),
                  .day = decode(memory_[kDay]),
                  .weekday = 0,
                  .hour = decode_hour(memory_[kHours]),
                  .minute = decode(memory_[kMinutes]),
                  .second = decode(memory_[kSeconds])});
      }
      schedule();
      return update_line();
    }
    case kC:
    case kD:
      return;
    default:
      memory_[index] = value;
  }
}

bool Rtc::alarm_matches(const Time& time) const {
  const auto matches = [](uint8_t alarm, uint8_t now) {
    return (alarm & kAnyValue) == kAnyValue || alarm == now;
  };
  return matches(memory_[kSecondsAlarm], encode(time.second)) &&
         matches(memory_[kMinutesAlarm], encode(time.minute)) &&
         matches(memory_[kHoursAlarm], encode_hour(time.hour));
}

exec::Nanoseconds Rtc::period() const {
  unsigned rate = memory_[kA] & kRateMask;
  if (rate == 0) return exec::Nanoseconds::zero();
  if (rate < 3) rate += 7;  // The two lowest select the rates of 8 and 9 (datasheet, table 5).
  return exec::Nanoseconds(1'000'000'000ll * (1ll << (rate - 1)) / 32768);
}

// Sets the timer for what can interrupt next.
void Rtc::schedule() {
  const uint8_t enabled = memory_[kB];
  exec::Nanoseconds next = exec::Nanoseconds::max();
  if ((enabled & (kAlarm | kUpdate)) && !(enabled & kSet)) {
    const auto second = std::chrono::floor<std::chrono::seconds>(local_now());
    last_second_ = second.count();
    next = clock_.now() + (second + 1s - local_now());
  }
  if ((enabled & kPeriodic) && period() != exec::Nanoseconds::zero()) {
    const auto now = clock_.now();
    if (next_periodic_ <= now || next_periodic_ > now + period()) next_periodic_ = now + period();
    next = std::min(next, next_periodic_);
  }
  if (next == exec::Nanoseconds::max()) return timer_.clear();
  timer_.set(next);
}

void Rtc::on_timer() {
  std::lock_guard lock(mutex_);
  const uint8_t enabled = memory_[kB];
  const int64_t second = std::chrono::floor<std::chrono::seconds>(local_now()).count();
  if (!(enabled & kSet) && (enabled & (kAlarm | kUpdate)) && second != last_second_) {
    memory_[kC] |= kUpdate;
    if (alarm_matches(time())) memory_[kC] |= kAlarm;
  }
  if ((enabled & kPeriodic) && next_periodic_ <= clock_.now()) memory_[kC] |= kPeriodic;
  update_line();
  schedule();
}

void Rtc::update_line() {
  const bool wanted = memory_[kC] & memory_[kB] & (kPeriodic | kAlarm | kUpdate);
  if (wanted) {
    memory_[kC] |= kInterruptFlag;
  } else {
    memory_[kC] &= ~kInterruptFlag;
  }
  line_.set(wanted);
}

bus::Access Rtc::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  data[0] = std::byte{offset == 0 ? index_ : read_register(index_)};
  return bus::Access::done;
}

bus::Access Rtc::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  const auto value = std::to_integer<uint8_t>(data[0]);
  std::lock_guard lock(mutex_);
  if (offset == 0) {
    index_ = value & 0x7f;  // The upper bit masks NMIs, of which there are none.
  } else {
    write_register(index_, value);
  }
  return bus::Access::done;
}

}  // namespace alcove::chips
