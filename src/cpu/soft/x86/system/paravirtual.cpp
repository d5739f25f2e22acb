#include "cpu/soft/x86/system/paravirtual.h"

#include <time.h>

#include <atomic>
#include <bit>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kEnabled = 1;

struct StealTime {
  uint64_t steal;    // ns
  uint32_t version;  // Odd while the structure is being written.
  uint32_t flags;
  uint8_t preempted;
  uint8_t padding[47];
};
static_assert(sizeof(StealTime) == 64);

enum Preempted : uint8_t { kWaits = 1, kFlushTlb = 2 };

// Reading the thread's time is a system call.
constexpr uint64_t kStealInterval = 4'000'000;  // ns

uint64_t thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

bool is_writable(Cpu& cpu, uint64_t address, uint64_t size) {
  const memory::Region* const region = guest_memory(cpu).find(address, size);
  return region && !region->read_only;
}

// Where the structure is, if there is one.
uint64_t steal_time_address(const Cpu& cpu) {
  return cpu.system.kvm_steal_time & ~uint64_t{63};
}
bool has_steal_time(const Cpu& cpu) {
  return cpu.system.kvm_steal_time & kEnabled;
}

// Other processors change the byte, too.
uint8_t exchange_preempted(Cpu& cpu, uint8_t value) {
  memory::GuestMemory& memory = guest_memory(cpu);
  const uint64_t address = steal_time_address(cpu) + offsetof(StealTime, preempted);
  std::byte* const host = memory.host_range(address, 1);
  if (!host) return 0;
  const uint8_t before = std::atomic_ref(*reinterpret_cast<uint8_t*>(host)).exchange(value);
  memory.mark_written(address, 1);
  return before;
}

}  // namespace

bool write_kvm_end_of_interrupt(Cpu& cpu, uint64_t value) {
  if (value & 2) return false;
  if ((value & kEnabled) && !is_writable(cpu, value & ~kEnabled, 4)) return false;
  cpu.apic->settle_end_of_interrupt();
  cpu.system.kvm_end_of_interrupt = value;
  return true;
}

void offer_end_of_interrupt(Cpu& cpu) {
  const uint64_t value = cpu.system.kvm_end_of_interrupt;
  if (!(value & kEnabled) || !cpu.apic->ends_silently()) return;
  cpu.system.kvm_end_offered = guest_memory(cpu).store(value & ~kEnabled, uint32_t{1});
}

bool withdraw_end_of_interrupt(Cpu& cpu) {
  cpu.system.kvm_end_offered = false;
  const uint64_t address = cpu.system.kvm_end_of_interrupt & ~kEnabled;
  memory::GuestMemory& memory = guest_memory(cpu);
  const auto flag = memory.load<uint32_t>(address);
  if (!flag || !(*flag & 1)) return flag.has_value();
  return !memory.store(address, *flag & ~1u);
}

bool write_kvm_steal_time(Cpu& cpu, uint64_t value) {
  constexpr uint64_t kReserved = 0x3e;
  if (value & kReserved) return false;
  if ((value & kEnabled) && !is_writable(cpu, value & ~kEnabled, sizeof(StealTime))) return false;
  cpu.system.kvm_steal_time = value;
  if (value & kEnabled) {
    cpu.system.steal = {};
    restart_steal_clock(cpu);
    tell_stolen_time(cpu);
    (void)tell_running(cpu);
  }
  return true;
}

void restart_steal_clock(Cpu& cpu) {
  if (!has_steal_time(cpu)) return;
  StealClock& clock = cpu.system.steal;
  clock.ran = 0;
  clock.running_since = MachineClock::now();
  clock.thread_time = thread_time();
}

void tell_stolen_time(Cpu& cpu) {
  if (!has_steal_time(cpu)) return;
  StealClock& clock = cpu.system.steal;
  const uint64_t now = MachineClock::now();
  clock.ran += now - clock.running_since;
  clock.running_since = now;
  if (now - clock.told < kStealInterval) return;
  const uint64_t time = thread_time();
  // On another thread than before its time means nothing.
  const uint64_t used = time - clock.thread_time;
  if (time >= clock.thread_time && used < clock.ran) clock.stolen += clock.ran - used;
  clock.ran = 0;
  clock.thread_time = time;
  clock.told = now;

  memory::GuestMemory& memory = guest_memory(cpu);
  const uint64_t address = steal_time_address(cpu);
  const auto version = memory.load<uint32_t>(address + offsetof(StealTime, version));
  if (!version) return;
  const uint32_t odd = *version | 1;
  (void)memory.store(address + offsetof(StealTime, version), odd);
  std::atomic_thread_fence(std::memory_order_release);
  (void)memory.store(address + offsetof(StealTime, steal), clock.stolen);
  std::atomic_thread_fence(std::memory_order_release);
  (void)memory.store(address + offsetof(StealTime, version), odd + 1);
}

void tell_waiting(Cpu& cpu) {
  if (!has_steal_time(cpu)) return;
  tell_stolen_time(cpu);
  exchange_preempted(cpu, kWaits);
}

bool tell_running(Cpu& cpu) {
  if (!has_steal_time(cpu)) return false;
  cpu.system.steal.running_since = MachineClock::now();
  return exchange_preempted(cpu, 0) & kFlushTlb;
}

namespace {

enum Hypercall : uint64_t { kPollInterrupts = 1, kKick = 5, kClockPairing = 9, kSendInterrupts = 10 };
constexpr int64_t kNotPermitted = -1, kBadAddress = -14, kInvalid = -22, kNotSupported = -95,
                  kNotKnown = -1000;

struct ClockPairing {
  int64_t seconds;
  int64_t nanoseconds;
  uint64_t tsc;
  uint32_t flags;
  uint32_t padding[9];
};
static_assert(sizeof(ClockPairing) == 64);

// The host's time of day and the guest's TSC at one moment: what a guest's clock is set by.
int64_t pair_clocks(Cpu& cpu, uint64_t address, uint64_t type) {
  if (type != 0) return kNotSupported;
  ClockPairing pairing{};
  uint64_t narrowest = ~uint64_t{0};
  for (int i = 0; i < 5; ++i) {
    timespec time{};
    const uint64_t before = MachineClock::host_tsc();
    clock_gettime(CLOCK_REALTIME, &time);
    const uint64_t width = MachineClock::host_tsc() - before;
    if (width >= narrowest) continue;
    narrowest = width;
    pairing = {.seconds = time.tv_sec,
               .nanoseconds = time.tv_nsec,
               .tsc = before + width / 2 + cpu.tsc_offset,
               .flags = 0,
               .padding = {}};
  }
  return guest_memory(cpu).store(address, pairing) ? 0 : kBadAddress;
}

// A set of processors, of as many bits as two registers have, from the APIC ID `lowest` on. Returns how many
// there are.
int64_t send_interrupts(Cpu& cpu, uint64_t low, uint64_t high, uint32_t lowest, uint32_t command) {
  constexpr uint32_t kDestination = 1u << 11 | 3u << 18;  // Of the command register's form: not here.
  const auto mode = static_cast<DeliveryMode>(command >> 8 & 7);
  if (command & kDestination) return kInvalid;
  if (mode != DeliveryMode::fixed && mode != DeliveryMode::nmi) return kInvalid;
  ApicBus& bus = cpu.apic->bus();
  const uint32_t cluster = cpu.in_64bit() ? 64 : 32;
  int64_t count = 0;
  const auto send = [&](uint64_t bits, uint64_t first) {
    for (; bits != 0; bits &= bits - 1) {
      const uint64_t id = first + static_cast<unsigned>(std::countr_zero(bits));
      if (id >= bus.cpu_count()) return;
      bus.apic(static_cast<unsigned>(id)).deliver(mode, static_cast<uint8_t>(command), false);
      ++count;
    }
  };
  send(low, lowest);
  send(high, uint64_t{lowest} + cluster);
  return count;
}

int64_t answer(Cpu& cpu) {
  if (cpu.cpl > 0) return kNotPermitted;
  const auto argument = [&](unsigned number) {
    return cpu.in_64bit() ? cpu.gpr[number] : static_cast<uint32_t>(cpu.gpr[number]);
  };
  ApicBus& bus = cpu.apic->bus();
  switch (argument(rax)) {
    case kPollInterrupts:
      return 0;
    case kKick:
      if (argument(rcx) < bus.cpu_count()) bus.apic(static_cast<unsigned>(argument(rcx))).end_wait();
      return 0;
    case kClockPairing:
      return pair_clocks(cpu, argument(rbx), argument(rcx));
    case kSendInterrupts:
      return send_interrupts(cpu, argument(rbx), argument(rcx), static_cast<uint32_t>(argument(rdx)),
                             static_cast<uint32_t>(argument(rsi)));
    default:
      return kNotKnown;
  }
}

}  // namespace

uint64_t kvm_hypercall(Cpu& cpu) {
  const int64_t value = answer(cpu);
  return cpu.in_64bit() ? static_cast<uint64_t>(value) : static_cast<uint32_t>(value);
}

}  // namespace alcove::cpu::soft
