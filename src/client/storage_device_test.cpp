// Disks of a running machine, with the fake guest, which opens their images.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "client/test_machine.h"
#include "support/unique_fd.h"

namespace alcove::client {
namespace {

struct StorageDeviceTest : MachineTest {
  VirtualMachineConfiguration with_disk(const std::string& behaviour = "") const {
    VirtualMachineConfiguration result = configuration(behaviour);
    auto device = disk();
    device.limits = {.bytes_per_second = 1000};
    result.storage_devices = {device};
    return result;
  }
  static Result<> resize(StorageDevice& device, uint64_t size) {
    Outcome outcome;
    device.resize(size, outcome.completion());
    return outcome.get();
  }
  static Result<> set_limits(StorageDevice& device, StorageDeviceLimits limits) {
    Outcome outcome;
    device.set_limits(limits, outcome.completion());
    return outcome.get();
  }
  static Result<StorageDeviceStatistics> statistics(StorageDevice& device) {
    Outcome<StorageDeviceStatistics> outcome;
    device.statistics(outcome.completion());
    return outcome.get();
  }
};

TEST_F(StorageDeviceTest, GrowsWithItsImage) {
  auto machine = running(with_disk());
  ASSERT_EQ(machine->storage_devices().size(), 1u);
  StorageDevice& device = *machine->storage_devices()[0];
  EXPECT_EQ(statistics(device)->size, uint64_t{1} << 20);
  ASSERT_TRUE(resize(device, 2 << 20));
  EXPECT_EQ(statistics(device)->size, uint64_t{2} << 20);
  EXPECT_EQ(std::filesystem::file_size(folder / "disk"), uint64_t{2} << 20);

  const Result<> smaller = resize(device, 1 << 20);
  EXPECT_EQ(code_of(smaller), ErrorCode::invalid_disk_image);
  EXPECT_EQ(smaller.error().where, "storage_devices[0]");
  EXPECT_EQ(code_of(resize(device, 1000)), ErrorCode::invalid_disk_image);
  EXPECT_EQ(code_of(resize(device, 0)), ErrorCode::invalid_disk_image);
  EXPECT_EQ(std::filesystem::file_size(folder / "disk"), uint64_t{2} << 20);
}

TEST_F(StorageDeviceTest, NothingIsDoneWhileItIsStopped) {
  auto machine = create(with_disk());
  StorageDevice& device = *machine->storage_devices()[0];
  EXPECT_EQ(code_of(resize(device, 2 << 20)), ErrorCode::invalid_virtual_machine_state);
  EXPECT_EQ(code_of(set_limits(device, {})), ErrorCode::invalid_virtual_machine_state);
  EXPECT_EQ(std::filesystem::file_size(folder / "disk"), uint64_t{1} << 20);
}

TEST_F(StorageDeviceTest, LimitsAreTheConfigurationsAtEachStart) {
  auto machine = running(with_disk());
  StorageDevice& device = *machine->storage_devices()[0];
  EXPECT_EQ(device.limits(), (StorageDeviceLimits{.bytes_per_second = 1000}));
  ASSERT_TRUE(set_limits(device, {.operations_per_second = 7}));
  EXPECT_EQ(device.limits(), (StorageDeviceLimits{.operations_per_second = 7}));
  ASSERT_TRUE(stop(*machine));
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(device.limits(), (StorageDeviceLimits{.bytes_per_second = 1000}));
}

TEST_F(StorageDeviceTest, OpenFilesServeAsDisks) {
  VirtualMachineConfiguration wanted = configuration();
  UniqueFd file(::open((folder / "disk").c_str(), O_RDONLY | O_CLOEXEC));
  DiskBlockDeviceStorageDeviceAttachment attachment{.file_handle = file.get()};
  wanted.storage_devices = {VirtioBlockDeviceConfiguration{.attachment = attachment}};
  const auto problems = wanted.validate();
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].where, "storage_devices[0].attachment.file_handle");

  file.reset(::open((folder / "disk").c_str(), O_RDWR | O_CLOEXEC));
  attachment.file_handle = file.get();
  wanted.storage_devices = {VirtioBlockDeviceConfiguration{.attachment = attachment}};
  auto machine = create(wanted);
  file.reset();  // It has a copy.
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(start(*machine));
    ASSERT_TRUE(resize(*machine->storage_devices()[0], uint64_t{2 + static_cast<unsigned>(round)} << 20));
    ASSERT_TRUE(stop(*machine));
  }
  EXPECT_EQ(std::filesystem::file_size(folder / "disk"), uint64_t{3} << 20);
}

TEST_F(StorageDeviceTest, ConnectionsAndTheirEndAreTold) {
  auto machine = create(with_disk("disk_fails_soon"));
  std::promise<StorageDevice*> connected;
  std::promise<std::pair<StorageDevice*, Error>> failed;
  const Observation observation = machine->observe(
      {.storage_attachment_was_connected = [&](StorageDevice& device) { connected.set_value(&device); },
       .storage_attachment_did_encounter_error =
           [&](StorageDevice& device, const Error& error) { failed.set_value({&device, error}); }});
  ASSERT_TRUE(start(*machine));
  auto told = connected.get_future();
  ASSERT_EQ(told.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(told.get(), machine->storage_devices()[0].get());
  auto end = failed.get_future();
  ASSERT_EQ(end.wait_for(kPatience), std::future_status::ready);
  const auto [device, error] = end.get();
  EXPECT_EQ(device, machine->storage_devices()[0].get());
  EXPECT_EQ(error.what, "it sank");
}

struct AttachedDiskTest : StorageDeviceTest {
  VirtioBlockDeviceConfiguration another(const std::string& name = "another") const {
    std::ofstream(folder / name) << "";
    std::filesystem::resize_file(folder / name, 2 << 20);
    return {.attachment = DiskImageStorageDeviceAttachment{.path = folder / name}};
  }
  static Result<std::shared_ptr<StorageDevice>> attach(VirtualMachine& machine,
                                                       StorageDeviceConfiguration configuration) {
    Outcome<std::shared_ptr<StorageDevice>> outcome;
    machine.attach_storage_device(std::move(configuration), outcome.completion());
    return outcome.get();
  }
  static Result<> detach(VirtualMachine& machine, std::shared_ptr<StorageDevice> device,
                         StorageDeviceDetachOptions options = {}) {
    Outcome outcome;
    machine.detach_storage_device(std::move(device), options, outcome.completion());
    return outcome.get();
  }
};

TEST_F(AttachedDiskTest, ComesAndGoes) {
  auto machine = running(with_disk());
  std::atomic<size_t> told = 0;
  const Observation observation = machine->observe(
      {.storage_device_was_detached = [&](StorageDevice& device) { told = device.number(); }});
  const auto cold = machine->storage_devices()[0];
  EXPECT_EQ(cold->number(), 0u);
  for (size_t round = 1; round < 4; ++round) {
    const auto device = attach(*machine, another());
    ASSERT_TRUE(device) << device.error().message();
    EXPECT_EQ((*device)->number(), round);
    EXPECT_EQ((*device)->configuration(), StorageDeviceConfiguration(another()));
    EXPECT_EQ(machine->storage_devices(), (std::vector{cold, *device}));
    EXPECT_EQ(statistics(**device)->size, uint64_t{2} << 20);
    ASSERT_TRUE(resize(**device, 4 << 20));
    // Its image is locked.
    EXPECT_EQ(attach(*machine, NVMExpressControllerDeviceConfiguration{.attachment = another().attachment})
                  .error()
                  .where,
              "attachment.path");
    ASSERT_TRUE(detach(*machine, *device));
    // By a task of its own.
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (told != round && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    EXPECT_EQ(told, round);
    EXPECT_EQ(machine->storage_devices(), std::vector{cold});
    EXPECT_EQ(code_of(resize(**device, 8 << 20)), ErrorCode::not_supported);
    EXPECT_EQ(code_of(detach(*machine, *device)), ErrorCode::not_supported);
  }
}

TEST_F(AttachedDiskTest, IsRefusedWithTheField) {
  auto machine = running(with_disk());
  VirtioBlockDeviceConfiguration wrong = another();
  wrong.block_device_identifier = "a/b";
  EXPECT_EQ(attach(*machine, wrong).error().where, "block_device_identifier");
  EXPECT_EQ(attach(*machine, VirtioBlockDeviceConfiguration{}).error().where, "attachment.path");
  EXPECT_EQ(
      attach(*machine, USBMassStorageDeviceConfiguration{.attachment = another().attachment}).error().code,
      ErrorCode::not_supported);
  EXPECT_EQ(code_of(detach(*machine, nullptr)), ErrorCode::not_supported);
  const Result<> cold = detach(*machine, machine->storage_devices()[0]);
  EXPECT_EQ(code_of(cold), ErrorCode::not_supported);
  EXPECT_EQ(cold.error().where, "storage_devices[0]");
  auto other = running();
  EXPECT_EQ(code_of(detach(*other, machine->storage_devices()[0])), ErrorCode::not_supported);
  EXPECT_EQ(machine->storage_devices().size(), 1u);
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(attach(*machine, another()).error().code, ErrorCode::invalid_virtual_machine_state);
}

TEST_F(AttachedDiskTest, StaysWhereTheGuestKeepsIt) {
  auto machine = running(with_disk("keeps_disks"));
  const auto device = *attach(*machine, another());
  EXPECT_EQ(code_of(detach(*machine, device)), ErrorCode::operation_cancelled);
  EXPECT_EQ(machine->storage_devices().size(), 2u);
  EXPECT_TRUE(detach(*machine, device, {.timeout = {}, .force = true}));
  EXPECT_EQ(machine->storage_devices().size(), 1u);
}

TEST_F(AttachedDiskTest, GoesByItself) {
  auto machine = create(with_disk("lets_go_soon"));
  std::promise<void> gone;
  const Observation observation =
      machine->observe({.storage_device_was_detached = [&](StorageDevice&) { gone.set_value(); }});
  ASSERT_TRUE(start(*machine));
  const auto device = *attach(*machine, another());
  ASSERT_EQ(gone.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(machine->storage_devices().size(), 1u);
  EXPECT_EQ(code_of(detach(*machine, device)), ErrorCode::not_supported);
}

TEST_F(AttachedDiskTest, EndsWithItsMachine) {
  auto machine = running(with_disk());
  const auto device = *attach(*machine, another());
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(machine->storage_devices().size(), 1u);
  ASSERT_TRUE(start(*machine));
  const auto next = *attach(*machine, another());
  EXPECT_EQ(next->number(), device->number());
  EXPECT_EQ(code_of(resize(*device, 8 << 20)), ErrorCode::not_supported) << "the number is another's";
  EXPECT_EQ(statistics(*next)->size, uint64_t{2} << 20);
}

TEST_F(AttachedDiskTest, IsDetachedWhenTheGuestEnds) {
  auto machine = running(with_disk("waits_for_ever stop_on_request"));
  const auto device = *attach(*machine, another());
  Outcome outcome;
  machine->detach_storage_device(device, outcome.completion());
  ASSERT_TRUE(machine->request_stop());
  EXPECT_TRUE(outcome.get());
}

}  // namespace
}  // namespace alcove::client
