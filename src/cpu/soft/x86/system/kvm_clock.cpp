#include "cpu/soft/x86/system/kvm_clock.h"

#include <time.h>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft {
namespace {

struct WallClock {
  uint32_t version;
  uint32_t seconds;
  uint32_t nanoseconds;
};
static_assert(sizeof(WallClock) == 12);

struct [[gnu::packed]] TimeInfo {
  uint32_t version;
  uint32_t padding;
  uint64_t tsc_timestamp;
  uint64_t system_time;
  uint32_t tsc_to_system_multiplier;
  int8_t tsc_shift;
  uint8_t flags;
  uint8_t padding_end[2];
};
static_assert(sizeof(TimeInfo) == 32);

constexpr uint8_t kTscStable = 1, kGuestStopped = 2;

// An odd version says that the structure is being written. Memory that is not there gets nothing.
template <class T>
void publish(Cpu& cpu, uint64_t address, T value) {
  memory::GuestMemory& memory = guest_memory(cpu);
  const uint32_t version = (memory.load<uint32_t>(address).value_or(0) | 1) + 1;
  value.version = version - 1;
  if (!memory.store(address, value)) return;
  std::atomic_thread_fence(std::memory_order_release);
  (void)memory.store(address, version);
}

}  // namespace

void write_kvm_wall_clock(Cpu& cpu, uint64_t value) {
  cpu.system.kvm_wall_clock = value;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const MachineClock& clock = cpu.apic->bus().clock();
  const uint64_t real =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  const uint64_t start = real - (MachineClock::now() - clock.start_time());
  publish(cpu, value & ~uint64_t{3},
          WallClock{.seconds = static_cast<uint32_t>(start / 1'000'000'000),
                    .nanoseconds = static_cast<uint32_t>(start % 1'000'000'000)});
}

void write_kvm_system_time(Cpu& cpu, uint64_t value) {
  cpu.system.kvm_system_time = value;
  if (!(value & 1)) return;
  const MachineClock& clock = cpu.apic->bus().clock();
  // The same reference for every processor, so that they agree to the nanosecond. A processor whose TSC the
  // guest moved gets it moved likewise.
  publish(cpu, value & ~uint64_t{3},
          TimeInfo{.tsc_timestamp = clock.start_tsc() + cpu.tsc_offset,
                   .system_time = 0,
                   .tsc_to_system_multiplier = clock.multiplier(),
                   .tsc_shift = clock.shift(),
                   .flags = kTscStable});
}

void mark_guest_stopped(Cpu& cpu) {
  const uint64_t value = cpu.system.kvm_system_time;
  if (!(value & 1)) return;
  const uint64_t flags = (value & ~uint64_t{3}) + offsetof(TimeInfo, flags);
  memory::GuestMemory& memory = guest_memory(cpu);
  if (const auto now = memory.load<uint8_t>(flags)) (void)memory.store<uint8_t>(flags, *now | kGuestStopped);
}

}  // namespace alcove::cpu::soft
