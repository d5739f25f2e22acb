// Disks that come and go. The test is the guest: it does what a processor would do.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "boot/test_kernels.h"
#include "machine/fake_hypervisor.h"
#include "machine/machine.h"
#include "support/testing/temporary_folder.h"

namespace alcove::machine {
namespace {

using namespace std::chrono_literals;

constexpr uint16_t kArrived = 0x640, kWanted = 0x644, kEject = 0x648, kGeneralEvents = 0x60c;
constexpr uint64_t kEcam = 0xb0000000;

class HotPlugTest : public testing::Test {
 protected:
  void create(Program program = {}, bool goes_on = false) {
    VirtualMachineConfiguration configuration{
        .cpu_count = 2,
        .memory_size = 64 << 20,
        .boot_loader = LinuxBootLoader{.kernel = "kernel", .command_line = "test"},
        .storage_devices = {VirtioBlockDeviceConfiguration{
            .attachment = DiskImageStorageDeviceAttachment{.path = "cold"}}},
        .network_devices = {},
        .serial_ports = {},
        .entropy_devices = {},
        .memory_balloon_devices = {}};
    Descriptors descriptors;
    descriptors.add("boot_loader.kernel", boot::file_with(boot::make_bzimage()));
    descriptors.add("storage_devices[0].attachment", image("cold"));
    auto made = Machine::create(configuration, std::move(descriptors), observer,
                                std::make_unique<FakeHypervisor>(std::move(program), &vm, goes_on));
    ASSERT_TRUE(made) << made.error().message();
    machine = *std::move(made);
  }
  void start(Program program = {}, bool goes_on = false) {
    create(std::move(program), goes_on);
    ASSERT_TRUE(machine->start());
  }

  UniqueFd image(const std::string& name) const {
    std::ofstream(folder.path() / name) << "";
    std::filesystem::resize_file(folder.path() / name, 1 << 20);
    return UniqueFd(::open((folder.path() / name).c_str(), O_RDWR | O_CLOEXEC));
  }
  Result<size_t> attach(const std::string& name = "hot", bool nvme = false) {
    std::vector<UniqueFd> files;
    files.push_back(image(name));
    const DiskImageStorageDeviceAttachment attachment{.path = name};
    if (nvme)
      return machine->attach_storage(NVMExpressControllerDeviceConfiguration{.attachment = attachment},
                                     std::move(files));
    return machine->attach_storage(VirtioBlockDeviceConfiguration{.attachment = attachment},
                                   std::move(files));
  }
  std::future<Result<>> detach(size_t number, std::chrono::milliseconds timeout = 1h, bool force = false) {
    auto promise = std::make_shared<std::promise<Result<>>>();
    machine->detach_storage(number, {.timeout = timeout, .force = force},
                            [promise](Result<> result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  static bool is_done(const std::future<Result<>>& result) {
    return result.wait_for(0s) == std::future_status::ready;
  }
  static Result<> get(std::future<Result<>> result) {
    if (result.wait_for(10s) != std::future_status::ready) return fail(ErrorCode::internal, "", "never ends");
    return result.get();
  }

  // Whether this process has the file open.
  bool is_open(const std::string& name) const {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path(), gone) == folder.path() / name) return true;
    }
    return false;
  }

  uint32_t port(uint16_t number) { return in<uint32_t>(vm->io, number); }
  uint32_t identity(unsigned slot) {
    uint32_t value = 0;
    vm->io.memory_read(kEcam + (uint64_t{slot} << 15), std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void eject(unsigned slot) { out(vm->io, kEject, 1u << slot); }

  const TemporaryFolder folder;
  Observer observer;
  FakeVm* vm = nullptr;
  std::unique_ptr<Machine> machine;
};

constexpr uint32_t kBlock = 0x1042'1af4, kController = 0x10f1'1af4, kNobody = 0xffff'ffff;

TEST_F(HotPlugTest, ADiskComesAndGoes) {
  start();
  EXPECT_EQ(identity(1), kBlock);
  for (unsigned slot = 2; slot < 6; ++slot) {
    const bool nvme = slot % 2;
    const auto number = attach("hot", nvme);
    ASSERT_TRUE(number) << number.error().message();
    EXPECT_EQ(*number, slot - 1);
    EXPECT_EQ(port(kArrived), 1u << slot);
    EXPECT_EQ(port(kGeneralEvents) & 0xffff, 2u);
    EXPECT_EQ(identity(slot), nvme ? kController : kBlock);
    EXPECT_EQ(machine->storage().statistics(*number)->size, 1u << 20);
    EXPECT_TRUE(is_open("hot"));
    out<uint16_t>(vm->io, kGeneralEvents, 2);
    out(vm->io, kArrived, ~0u);

    auto end = detach(*number);
    EXPECT_EQ(port(kWanted), 1u << slot);
    EXPECT_EQ(port(kGeneralEvents) & 0xffff, 2u);
    EXPECT_FALSE(is_done(end));
    EXPECT_EQ(identity(slot), nvme ? kController : kBlock);
    out(vm->io, kWanted, ~0u);
    eject(slot);
    EXPECT_EQ(identity(slot), kNobody);
    EXPECT_TRUE(get(std::move(end)));
    EXPECT_FALSE(is_open("hot"));
    EXPECT_EQ(observer.last_detached, *number);
    EXPECT_FALSE(machine->storage().statistics(*number));
    EXPECT_EQ(port(kWanted), 0u) << "it has let go already";
  }
  EXPECT_EQ(observer.detached, 4);
  EXPECT_EQ(identity(1), kBlock);
}

TEST_F(HotPlugTest, AGuestMayWriteWhatItLikes) {
  start();
  for (int i = 0; i < 10; ++i) {
    out(vm->io, kEject, ~0u);
    out(vm->io, kArrived, ~0u);
    out(vm->io, kWanted, ~0u);
    out<uint8_t>(vm->io, kEject, 0xff);
    out<uint16_t>(vm->io, kGeneralEvents + 2, 0xffff);
  }
  EXPECT_EQ(identity(1), kBlock);
  EXPECT_TRUE(is_open("cold"));
  EXPECT_TRUE(machine->storage().statistics(0));
  EXPECT_EQ(observer.detached, 0);
}

TEST_F(HotPlugTest, AGuestLetsGoByItself) {
  start();
  ASSERT_TRUE(attach());
  for (int i = 0; i < 10; ++i) eject(2);
  ASSERT_TRUE(observer.wait_for(&Observer::detached, 1));
  EXPECT_FALSE(is_open("hot"));
  EXPECT_EQ(get(detach(1)).error().code, ErrorCode::not_supported);
  EXPECT_EQ(observer.detached, 1);
}

TEST_F(HotPlugTest, WhatIsNotAttachedIsNotDetached) {
  start();
  const Result<> cold = get(detach(0));
  EXPECT_EQ(cold.error().code, ErrorCode::not_supported);
  EXPECT_EQ(cold.error().where, "storage_devices[0]");
  EXPECT_EQ(get(detach(7)).error().code, ErrorCode::not_supported);
  EXPECT_EQ(machine->attach_storage(USBMassStorageDeviceConfiguration{}, {}).error().code,
            ErrorCode::not_supported);
  EXPECT_EQ(machine->attach_storage(VirtioBlockDeviceConfiguration{}, {}).error().where, "attachment");
  EXPECT_EQ(*attach(), 1u) << "what failed has no number";
}

TEST_F(HotPlugTest, AGuestThatDoesNotLetGoKeepsIt) {
  start();
  const size_t number = *attach();
  auto patient = detach(number);
  EXPECT_EQ(get(detach(number, 10ms)).error().code, ErrorCode::operation_cancelled);
  EXPECT_EQ(port(kWanted), 4u) << "somebody still waits";
  EXPECT_FALSE(is_done(patient));
  eject(2);
  EXPECT_TRUE(get(std::move(patient)));

  const size_t other = *attach();
  EXPECT_EQ(get(detach(other, 10ms)).error().code, ErrorCode::operation_cancelled);
  EXPECT_EQ(port(kWanted), 0u);
  EXPECT_TRUE(machine->storage().statistics(other));
  EXPECT_EQ(identity(3), kBlock);
}

TEST_F(HotPlugTest, ForceTakesItAway) {
  start();
  const size_t number = *attach();
  auto patient = detach(number);
  EXPECT_TRUE(get(detach(number, 20ms, true)));
  EXPECT_TRUE(get(std::move(patient)));
  EXPECT_EQ(identity(2), kNobody);
  EXPECT_FALSE(is_open("hot"));
  EXPECT_EQ(port(kWanted), 4u) << "the guest is to forget it";
  auto at_once = detach(*attach(), 0ms, true);
  EXPECT_TRUE(is_done(at_once));
  EXPECT_FALSE(is_open("hot"));
}

TEST_F(HotPlugTest, SlotsRunOut) {
  start();
  std::vector<size_t> numbers;
  for (unsigned slot = 2; slot < 31; ++slot) {
    const auto number = attach("hot" + std::to_string(slot), slot % 2);
    ASSERT_TRUE(number) << number.error().message();
    numbers.push_back(*number);
  }
  EXPECT_EQ(port(kArrived), 0x7fff'fffcu);
  const auto one_more = attach();
  EXPECT_EQ(one_more.error().code, ErrorCode::virtual_machine_limit_exceeded);
  EXPECT_EQ(one_more.error().where, "storage_devices");
  EXPECT_FALSE(is_open("hot"));
  auto end = detach(numbers[3]);
  eject(5);
  EXPECT_TRUE(get(std::move(end)));
  EXPECT_TRUE(attach());
  EXPECT_EQ(identity(5), kBlock);
}

TEST_F(HotPlugTest, WhilePausedToo) {
  start();
  ASSERT_TRUE(machine->pause());
  const size_t number = *attach("one", true);
  EXPECT_TRUE(attach("two"));
  EXPECT_TRUE(get(detach(number, 0ms, true)));
  ASSERT_TRUE(machine->resume());
  EXPECT_EQ(identity(2), kNobody);
  EXPECT_EQ(identity(3), kBlock);
}

TEST_F(HotPlugTest, ARebootLetsGoOfWhatIsWanted) {
  std::atomic<bool> reboot = false;
  start(
      [&](cpu::IoHandler& io, const std::atomic<bool>& kicked) {
        while (!kicked && !reboot) std::this_thread::yield();
        if (reboot.exchange(false)) out<uint8_t>(io, 0xcf9, 6);
        return cpu::Exit::kicked;
      },
      true);
  const size_t kept = *attach("kept"), wanted = *attach("wanted");
  auto end = detach(wanted);
  reboot = true;
  ASSERT_TRUE(observer.wait_for(&Observer::reboots, 1));
  EXPECT_TRUE(get(std::move(end)));
  EXPECT_EQ(identity(2), kBlock);
  EXPECT_EQ(identity(3), kNobody);
  EXPECT_FALSE(is_open("wanted"));
  EXPECT_EQ(port(kArrived) | port(kWanted), 0u) << "it finds what is there when it looks";
  EXPECT_TRUE(machine->storage().statistics(kept));
}

TEST_F(HotPlugTest, TheEndLetsGoOfWhatIsWanted) {
  start(
      [](cpu::IoHandler& io, const std::atomic<bool>& kicked) {
        while (!kicked && in<uint32_t>(io, kWanted) == 0) std::this_thread::yield();
        if (!kicked) out<uint16_t>(io, 0x604, 5 << 10 | 1 << 13);
        return cpu::Exit::kicked;
      },
      true);
  auto end = detach(*attach());
  EXPECT_TRUE(get(std::move(end)));
  EXPECT_FALSE(is_open("hot"));
  ASSERT_TRUE(observer.wait_for(&Observer::stopped, 1));
  EXPECT_EQ(attach().error().code, ErrorCode::invalid_virtual_machine_state);
  EXPECT_EQ(get(detach(0)).error().code, ErrorCode::invalid_virtual_machine_state);
}

TEST_F(HotPlugTest, TheOwnersStopLetsGoOfWhatIsWanted) {
  start();
  auto end = detach(*attach());
  ASSERT_TRUE(attach("other"));
  machine->stop();
  EXPECT_TRUE(get(std::move(end)));
  machine.reset();
  EXPECT_FALSE(is_open("hot"));
  EXPECT_FALSE(is_open("other"));

  start();
  auto another = detach(*attach());
  machine.reset();
  EXPECT_TRUE(get(std::move(another)));
}

TEST_F(HotPlugTest, NotBeforeTheStart) {
  create();
  EXPECT_EQ(attach().error().code, ErrorCode::invalid_virtual_machine_state);
}

// A guest that looks at everything and lets go of everything, all the time.
TEST_F(HotPlugTest, RacesWithAGuest) {
  start(
      [](cpu::IoHandler& io, const std::atomic<bool>& kicked) {
        while (!kicked) {
          for (unsigned slot = 1; slot < 31; ++slot) {
            const uint64_t function = kEcam + (uint64_t{slot} << 15);
            uint32_t value = 0xc800'0000 + (slot << 16);
            io.memory_write(function + 0x10, std::as_bytes(std::span(&value, 1)));
            value = 6;
            io.memory_write(function + 4, std::as_bytes(std::span(&value, 1)));
            io.memory_read(0xc800'0000 + (slot << 16), std::as_writable_bytes(std::span(&value, 1)));
          }
          out(io, kEject, in<uint32_t>(io, kWanted));
        }
        return cpu::Exit::kicked;
      },
      true);
  for (int i = 0; i < 100; ++i) {
    const auto number = attach("hot", i % 2);
    ASSERT_TRUE(number) << number.error().message();
    if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i * 17));
    auto end = detach(*number, std::chrono::milliseconds(i % 5), true);
    if (i % 7 == 0) {
      ASSERT_TRUE(machine->pause());
      ASSERT_TRUE(machine->resume());
    }
    // It may have let go before it was asked: it took what was there before for this one.
    const Result<> ended = get(std::move(end));
    ASSERT_TRUE(ended || ended.error().code == ErrorCode::not_supported) << ended.error().message();
    ASSERT_TRUE(observer.wait_for(&Observer::detached, i + 1));
  }
  EXPECT_EQ(observer.detached, 100);
  EXPECT_FALSE(is_open("hot"));
}

}  // namespace
}  // namespace alcove::machine
