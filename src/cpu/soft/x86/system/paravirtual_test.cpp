// What KVM guests are offered, used and misused by small guests.
#include "cpu/soft/x86/system/paravirtual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/testing/guest_machine.h"
#include "cpu/soft/testing/guest_macros.h"
#include "cpu/soft/x86/system/kvm_clock.h"
#include "cpu/soft/x86/system/model_specific.h"

namespace alcove::cpu::soft::testing {
namespace {

using ::testing::ElementsAre;

ALCOVE_GUEST(hypercalls, R"(
  .code64
  mov $0xfee000f0, %ecx
  movl $0x1ff, (%rcx)             # The local APIC is on.
  mov $999, %eax
  vmcall
  out %eax, $0xe9                 # -ENOSYS
  mov $999, %eax
  vmmcall
  out %eax, $0xe9
  mov $10, %eax                   # To processors 0, 1 and 65: one is there.
  mov $3, %ebx
  mov $2, %ecx
  xor %edx, %edx
  mov $0x40, %esi
  vmcall
  out %eax, $0xe9
  say $0x111
  sti
  nop
  say $0x222
  cli
  mov $10, %eax                   # With a destination of another kind: -EINVAL
  mov $0x40 | 1 << 18, %esi
  vmcall
  out %eax, $0xe9
  mov $10, %eax                   # From an ID that no processor has
  mov $-1, %rdx
  mov $0x40, %esi
  vmcall
  out %eax, $0xe9
  mov $5, %eax                    # A kick ends the next HLT, with interrupts off.
  xor %ebx, %ebx
  xor %ecx, %ecx
  vmcall
  out %eax, $0xe9
  hlt
  say $0x333
  mov $5, %eax                    # Of nobody
  mov $77, %ecx
  vmcall
  out %eax, $0xe9
  pushq $0x28 | 3                 # In user mode: -EPERM
  pushq $0x90000
  pushq $0x3002
  pushq $0x30 | 3
  pushq $user - hypercalls + 0x10000
  iretq
user:
  mov $999, %eax
  vmcall
  out %eax, $0xe9
  done

  .org hypercalls + 0x400
  say $0x444
  mov $0xfee000b0, %ecx
  movl $0, (%rcx)
  iretq
)");

TEST(Paravirtual, HypercallsAreAnsweredAsKvmDoes) {
  GuestMachine machine;
  machine.start_long(hypercalls(), {{0x40, 0x400}});
  EXPECT_THAT(machine.run_to_end(),
              ElementsAre(-1000, -1000, 1, 0x111, 0x444, 0x222, -22, 0, 0, 0x333, 0, -1));
}

ALCOVE_GUEST(clock_pairing, R"(
  .code64
  rdtsc
  mov %eax, 0x5100
  mov %edx, 0x5104
  mov $9, %eax
  mov $0x5000, %ebx
  xor %ecx, %ecx
  vmcall
  out %eax, $0xe9
  rdtsc
  mov %eax, 0x5108
  mov %edx, 0x510c
  mov $9, %eax                    # Nowhere: -EFAULT
  mov $0x1fffe0, %ebx
  vmcall
  out %eax, $0xe9
  mov $9, %eax                    # Another clock: -EOPNOTSUPP
  mov $1, %ecx
  vmcall
  out %eax, $0xe9
  done
)");

TEST(Paravirtual, TheHostsTimeOfDayComesWithTheGuestsTsc) {
  GuestMachine machine;
  machine.start_long(clock_pairing());
  const auto before = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, -14, -95));
  const auto after = std::chrono::system_clock::now().time_since_epoch();
  const auto told = std::chrono::seconds(machine.load<int64_t>(0x5000)) +
                    std::chrono::nanoseconds(machine.load<int64_t>(0x5008));
  EXPECT_GE(told, before);
  EXPECT_LE(told, after);
  EXPECT_GE(machine.load<uint64_t>(0x5010), machine.load<uint64_t>(0x5100));
  EXPECT_LE(machine.load<uint64_t>(0x5010), machine.load<uint64_t>(0x5108));
}

ALCOVE_GUEST(ends_of_interrupts, R"(
  .code64
  .macro interrupt vector         # To itself
    mov $0xfee00300, %ebx
    movl $\vector | 1 << 18, (%rbx)
    jmp . + 2                     # Interrupts are taken between blocks.
  .endm
  mov $0xfee000f0, %ecx
  movl $0x1ff, (%rcx)
  mov $0x4b564d04, %ecx
  mov $0x5001, %eax
  xor %edx, %edx
  wrmsr
  sti
  interrupt 0x40                  # Ended by the bit alone, twice
  interrupt 0x40
  movl $1, 0x5100                 # Ended by the APIC, though the bit was offered
  interrupt 0x40
  movl $2, 0x5100                 # Ended by the bit after another of the same class has come
  interrupt 0x40
  movl $0, 0x5100
  say $0x500
  mov $0xfee00120, %ebx           # Nothing is in service.
  mov (%rbx), %eax
  out %eax, $0xe9
  done

  .org ends_of_interrupts + 0x400
  mov 0x5000, %eax
  out %eax, $0xe9
  cmpl $2, 0x5100
  je 2f
  cmpl $1, 0x5100
  je 1f
  andl $-2, 0x5000
  iretq
2:
  movl $0, 0x5100
  interrupt 0x40                  # Waits for the end of this one.
  sti                             # So it does not interrupt here,
  nop
  say $0x600
  cli
  mov 0x5000, %eax                # and this one's end can't be kept from the APIC any more.
  out %eax, $0xe9
1:
  mov $0xfee000b0, %ecx
  movl $0, (%rcx)
  iretq
)");

TEST(Paravirtual, InterruptsEndWithABit) {
  GuestMachine machine;
  machine.start_long(ends_of_interrupts(), {{0x40, 0x400}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(1, 1, 1, 1, 0x600, 0, 1, 0x500, 0));
}

ALCOVE_GUEST(hostile_addresses, R"(
  .code64
  .macro write number, low, high
    mov $\number, %ecx
    mov $\low, %eax
    mov $\high, %edx
    wrmsr
  .endm
  write 0x4b564d04, 0x5003, 0     # A reserved bit
  write 0x4b564d04, 0x1, 0x1000   # No memory
  write 0x4b564d04, 0x1fffff, 0   # Across its end
  write 0x4b564d03, 0x5021, 0
  write 0x4b564d03, 0x1, 0x1000
  write 0x4b564d03, 0x200001, 0
  write 0x4b564d05, 2, 0
  say $0x700
  write 0x4b564d03, 0, 0x1000     # Disabled, the address means nothing.
  write 0x4b564d04, 0, 0x1000
  write 0x4b564d05, 0, 0
  write 0x4b564d03, 0x5001, 0
  rdmsr
  out %eax, $0xe9
  done

  .org hostile_addresses + 0x400  # #GP
  pop %rax
  say $0x701
  addq $2, (%rsp)
  iretq
)");

TEST(Paravirtual, AddressesMustBeMemory) {
  GuestMachine machine;
  machine.store<uint32_t>(0x5008, 7);  // The version
  machine.start_long(hostile_addresses(), {{13, 0x400}});
  EXPECT_THAT(machine.run_to_end(),
              ElementsAre(0x701, 0x701, 0x701, 0x701, 0x701, 0x701, 0x701, 0x700, 0x5001));
  EXPECT_EQ(machine.load<uint32_t>(0x5008), 8u);
  EXPECT_EQ(machine.load<uint8_t>(0x5010), 0);
}

class Nothing final : public IoHandler {
  void port_read(uint16_t, std::span<std::byte>) override {}
  void port_write(uint16_t, std::span<const std::byte>) override {}
  void memory_read(uint64_t, std::span<std::byte>) override {}
  void memory_write(uint64_t, std::span<const std::byte>) override {}
  void end_of_interrupt(uint8_t) override {}
};

// A processor that stands, and what it has written to memory's beginning.
struct ParavirtualMemory : ::testing::Test {
  ParavirtualMemory() { cpu.apic = &apic; }

  FlatEngine engine;
  Nothing io;
  ApicBus bus{io, [](Cpu&) {}};
  Apic apic{bus, engine.cpu()};
  Cpu& cpu = engine.cpu();
};

TEST_F(ParavirtualMemory, TheClockSaysThatTheGuestStood) {
  auto* const flags = reinterpret_cast<uint8_t*>(engine.memory().data() + 29);
  write_kvm_system_time(cpu, engine.guest_address());  // Not enabled.
  mark_guest_stopped(cpu);
  EXPECT_EQ(*flags, 0);
  write_kvm_system_time(cpu, engine.guest_address() | 1);
  EXPECT_EQ(*flags, 1);
  mark_guest_stopped(cpu);
  EXPECT_EQ(*flags, 3);
  write_kvm_system_time(cpu, uint64_t{1} << 50 | 1);  // No memory.
  mark_guest_stopped(cpu);
}

TEST_F(ParavirtualMemory, TheClockGoesOnWhenTheGuestMovesItsTsc) {
  const auto timestamp = [&] {
    uint64_t value;
    std::memcpy(&value, engine.memory().data() + 8, sizeof value);
    return value;
  };
  constexpr uint32_t kTscAdjust = 0x3b;
  ASSERT_TRUE(write_model_specific(cpu, kTscAdjust, 1));  // Nowhere to tell it.
  EXPECT_EQ(timestamp(), 0u);
  write_kvm_system_time(cpu, engine.guest_address() | 1);
  const uint64_t before = timestamp();
  ASSERT_TRUE(write_model_specific(cpu, kTscAdjust, (uint64_t{1} << 40) + 1));
  EXPECT_EQ(timestamp() - before, uint64_t{1} << 40);
}

ALCOVE_GUEST(time_passes, R"(
  .code64
  mov $0x4b564d03, %ecx
  mov $0x5001, %eax
  xor %edx, %edx
  wrmsr
  mov $0xfee00000, %ecx
  movl $0x1ff, 0xf0(%rcx)
  movl $0x20040, 0x320(%rcx)      # A periodic timer
  movl $0xb, 0x3e0(%rcx)
  movl $10000000, 0x380(%rcx)
  sti
1: jmp 1b
  .org time_passes + 0x200
  incl 0x5100
  movl $0, 0xb0(%rcx)
  iretq
)");

TEST(Paravirtual, APauseStealsNothing) {
  GuestMachine machine;
  machine.start_long(time_passes(), {{0x40, 0x200}});
  Vcpu& vcpu = machine.vm().vcpu(0);
  std::jthread thread([&vcpu] {
    EXPECT_EQ(vcpu.run(), Exit::kicked);
    std::this_thread::sleep_for(std::chrono::seconds(3));
    EXPECT_EQ(vcpu.run(), Exit::kicked);
  });
  const auto count = [&] { return machine.load<uint32_t>(0x5100); };
  const auto wait_for_interrupts = [&](uint32_t number) {
    while (count() < number) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  wait_for_interrupts(3);
  vcpu.kick();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  wait_for_interrupts(count() + 3);
  vcpu.kick();
  thread.join();
  EXPECT_LT(machine.load<uint64_t>(0x5000), 1'500'000'000u);
}

TEST_F(ParavirtualMemory, OthersLeaveWordForAProcessorThatWaits) {
  ASSERT_TRUE(write_kvm_steal_time(cpu, engine.guest_address() | 1));
  auto* const preempted = reinterpret_cast<uint8_t*>(engine.memory().data() + 16);
  tell_waiting(cpu);
  EXPECT_EQ(*preempted, 1);
  EXPECT_FALSE(tell_running(cpu));
  EXPECT_EQ(*preempted, 0);
  tell_waiting(cpu);
  *preempted |= 2;
  EXPECT_TRUE(tell_running(cpu));
  EXPECT_EQ(*preempted, 0);
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
