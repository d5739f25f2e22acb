#include "machine/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "boot/test_kernels.h"
#include "machine/fake_hypervisor.h"
#include "spec/acpi.h"

namespace alcove::machine {
namespace {

using namespace std::chrono_literals;

class MachineTest : public testing::Test {
 protected:
  Result<> create(Program program, unsigned cpus = 2) {
    VirtualMachineConfiguration configuration{
        .cpu_count = cpus,
        .memory_size = 64 << 20,
        .boot_loader = LinuxBootLoader{.kernel = "kernel", .command_line = "test"},
        .serial_ports = {UART16550SerialPortConfiguration{}}};
    Descriptors descriptors;
    descriptors.add("boot_loader.kernel", boot::file_with(boot::make_bzimage()));
    auto made = Machine::create(configuration, std::move(descriptors), observer,
                                std::make_unique<FakeHypervisor>(std::move(program), &vm));
    if (!made) return std::unexpected(made.error());
    machine = std::move(*made);
    return {};
  }

  Observer observer;
  FakeVm* vm = nullptr;
  std::unique_ptr<Machine> machine;
};

TEST_F(MachineTest, BeginsAtTheKernelWithTables) {
  ASSERT_TRUE(create({}));
  const cpu::X86State state = vm->vcpu(0).state();
  EXPECT_EQ(state.rip, 0x1000200u);
  EXPECT_EQ(state.efer, 0x500u);
  EXPECT_EQ(state.segments[cpu::cs].access, 0xa09b);
  EXPECT_EQ(vm->memory.load<char>(0x1000200), 'K');
  const auto parameters = vm->memory.load<spec::linux_boot::BootParameters>(state.gpr[cpu::rsi]).value();
  const auto rsdp = vm->memory.load<spec::acpi::Rsdp>(parameters.acpi_rsdp_address).value();
  EXPECT_EQ(std::string_view(rsdp.signature.data(), 8), "RSD PTR ");
  EXPECT_EQ(vm->memory.load<uint32_t>(0xf0000), 0x334d535fu);  // "_SM3"
  // The processor's structure, with what its TSC counts as its speed.
  std::array<uint8_t, 1024> smbios{};
  ASSERT_TRUE(vm->memory.read(0xf0000, std::as_writable_bytes(std::span(smbios))));
  const std::array<uint8_t, 4> speeds = {2600 & 0xff, 2600 >> 8, 2600 & 0xff, 2600 >> 8};
  EXPECT_FALSE(std::ranges::search(smbios, speeds).empty());
}

TEST_F(MachineTest, SerialOutputReachesTheLog) {
  ASSERT_TRUE(create([](cpu::IoHandler& io, const auto&) {
    for (char c : std::string_view("hello")) out(io, 0x3f8, c);
    out<uint16_t>(io, 0x604, 5 << 10 | 1 << 13);
    return cpu::Exit::kicked;
  }));
  ASSERT_TRUE(machine->start());
  ASSERT_TRUE(observer.wait_for(&Observer::stopped, 1));
  EXPECT_EQ(machine->serial_log(0), "hello");
  EXPECT_EQ(machine->hypervisor(), "fake");
  EXPECT_FALSE(machine->pause());
}

TEST_F(MachineTest, GuestRestartsWithFreshMemoryAndDevices) {
  std::atomic<int> boots = 0;
  std::atomic<bool> was_clean = true;
  ASSERT_TRUE(create([&](cpu::IoHandler& io, const auto&) {
    if (vm->memory.load<uint64_t>(0x3000000) != 0 || in<uint8_t>(io, 0x3ff) != 0) was_clean = false;
    if (vm->memory.load<char>(0x1000200) != 'K') was_clean = false;
    (void)vm->memory.store<uint64_t>(0x3000000, 1);
    (void)vm->memory.store<char>(0x1000200, 'x');
    out<uint8_t>(io, 0x3ff, 0x55);
    if (++boots < 3) {
      out<uint8_t>(io, 0xcf9, 6);
    } else {
      out<uint16_t>(io, 0x604, 5 << 10 | 1 << 13);
    }
    return cpu::Exit::kicked;
  }));
  ASSERT_TRUE(machine->start());
  ASSERT_TRUE(observer.wait_for(&Observer::stopped, 1));
  EXPECT_EQ(observer.reboots, 2);
  EXPECT_EQ(boots, 3);
  EXPECT_TRUE(was_clean);
}

TEST_F(MachineTest, PowerButtonInterruptsTheGuest) {
  ASSERT_TRUE(create([](cpu::IoHandler& io, const auto&) {
    const uint32_t select = 0x10 + 2 * 9, entry = 0x8041;  // Level-triggered pin 9.
    io.memory_write(0xfec00000, std::as_bytes(std::span(&select, 1)));
    io.memory_write(0xfec00010, std::as_bytes(std::span(&entry, 1)));
    out<uint16_t>(io, 0x602, 0x100);
    return cpu::Exit::kicked;
  }));
  EXPECT_FALSE(machine->request_stop());
  ASSERT_TRUE(machine->start());
  while (vm->vcpu(0).runs == 0) std::this_thread::yield();
  ASSERT_TRUE(machine->request_stop());
  for (int i = 0; i < 1000; ++i) {
    std::lock_guard lock(vm->mutex);
    if (!vm->messages.empty()) break;
    std::this_thread::sleep_for(1ms);
  }
  ASSERT_EQ(vm->messages.size(), 1u);
  EXPECT_EQ(vm->messages[0].data & 0xff, 0x41u);
}

TEST_F(MachineTest, PauseAndResumeManyTimes) {
  std::atomic<uint64_t> counter = 0;
  ASSERT_TRUE(create([&](cpu::IoHandler&, const std::atomic<bool>& kicked) {
    while (!kicked) ++counter;
    return cpu::Exit::kicked;
  }));
  EXPECT_FALSE(machine->pause());
  ASSERT_TRUE(machine->start());
  EXPECT_FALSE(machine->start());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(machine->pause());
    ASSERT_TRUE(machine->pause());
    const uint64_t before = counter;
    std::this_thread::yield();
    ASSERT_EQ(counter, before);
    ASSERT_TRUE(machine->resume());
    ASSERT_TRUE(machine->resume());
  }
  EXPECT_EQ(vm->vcpu(0).noted_pauses, 100);
  machine->stop();
  EXPECT_FALSE(machine->resume());
  EXPECT_EQ(observer.stopped + observer.errors, 0);
}

TEST_F(MachineTest, StopInTheMiddleOfGuestEvents) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(create([](cpu::IoHandler& io, const auto&) {
      out<uint8_t>(io, 0xcf9, 6);
      return cpu::Exit::kicked;
    }));
    ASSERT_TRUE(machine->start());
    std::this_thread::sleep_for(std::chrono::microseconds(i * 37));
    if (i % 2) {
      (void)machine->pause();
      (void)machine->resume();
    }
    machine->stop();
    machine.reset();
  }
}

TEST_F(MachineTest, TripleFaultRestartsOnceThenIsAnError) {
  ASSERT_TRUE(create([](cpu::IoHandler&, const auto&) { return cpu::Exit::shutdown; }));
  ASSERT_TRUE(machine->start());
  ASSERT_TRUE(observer.wait_for(&Observer::errors, 1));
  EXPECT_EQ(observer.reboots, 1);
  EXPECT_NE(observer.last_error.find("triple fault"), std::string::npos);
}

TEST_F(MachineTest, ProcessorErrorIsReported) {
  ASSERT_TRUE(create([](cpu::IoHandler&, const auto&) { return cpu::Exit::error; }));
  ASSERT_TRUE(machine->start());
  ASSERT_TRUE(observer.wait_for(&Observer::errors, 1));
  EXPECT_EQ(observer.last_error, "broken");
  machine->stop();
}

TEST_F(MachineTest, WrongConfigurationsNameTheField) {
  const auto bad = create({}, 9);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().where, "cpu_count");
}

}  // namespace
}  // namespace alcove::machine
