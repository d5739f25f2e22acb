#include "client/host_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/image_lock.h"
#include "client/test_machine.h"

namespace alcove::client {
namespace {

using testing::HasSubstr;

class HostFiles : public MachineTest {
 protected:
  Result<machine::Descriptors> open(const VirtualMachineConfiguration& configuration) {
    auto opened = open_serial_ports(configuration);
    if (!opened) return std::unexpected(opened.error());
    ports = *std::move(opened);
    return open_host_files(configuration, ports);
  }
  std::vector<SerialPortFiles> ports;
};

int flags_of(const UniqueFd& descriptor) {
  return ::fcntl(descriptor.get(), F_GETFL);
}

TEST_F(HostFiles, AreNamedByTheirField) {
  auto wanted = configuration();
  std::get<LinuxBootLoader>(*wanted.boot_loader).initial_ramdisk = folder / "kernel";
  wanted.storage_devices = {disk()};
  wanted.serial_ports = {
      UART16550SerialPortConfiguration{},
      UART16550SerialPortConfiguration{.attachment = FileSerialPortAttachment{folder / "log"}},
      VirtioConsoleDeviceSerialPortConfiguration{.attachment = PseudoTerminalSerialPortAttachment{}}};
  auto files = open(wanted);
  ASSERT_TRUE(files) << files.error().message();
  std::vector<std::string> names;
  for (const auto& [path, descriptor] : files->all()) {
    names.push_back(path);
    EXPECT_NE(::fcntl(descriptor.get(), F_GETFD) & FD_CLOEXEC, 0) << path;
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre(
                         "boot_loader.kernel", "boot_loader.initial_ramdisk", "storage_devices[0].attachment",
                         "serial_ports[0].log", "serial_ports[1].log", "serial_ports[1].attachment.writing",
                         "serial_ports[2].log", "serial_ports[2].attachment.reading",
                         "serial_ports[2].attachment.writing"));
}

TEST_F(HostFiles, DisksAreOpenedAsConfigured) {
  auto wanted = configuration();
  wanted.storage_devices = {disk()};
  EXPECT_EQ(flags_of(open(wanted)->take("storage_devices[0].attachment")) & O_ACCMODE, O_RDWR);
  wanted.storage_devices = {disk(true)};
  EXPECT_EQ(flags_of(open(wanted)->take("storage_devices[0].attachment")) & O_ACCMODE, O_RDONLY);
  auto uncached = disk();
  std::get<DiskImageStorageDeviceAttachment>(uncached.attachment).caching_mode =
      DiskImageCachingMode::uncached;
  wanted.storage_devices = {uncached};
  auto files = open(wanted);
  if (!files) {
    EXPECT_THAT(files.error().message(), HasSubstr("set caching_mode to cached"));
    GTEST_SKIP() << "the file system of the temporary folder has no O_DIRECT";
  }
  EXPECT_NE(flags_of(files->take("storage_devices[0].attachment")) & O_DIRECT, 0);
}

TEST_F(HostFiles, AWriterLocksOutEveryone) {
  auto writing = configuration();
  writing.storage_devices = {disk()};
  auto reading = configuration();
  reading.storage_devices = {disk(true)};
  auto first = open(writing);
  ASSERT_TRUE(first);
  for (const auto& wanted : {writing, reading}) {
    auto second = open(wanted);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::invalid_disk_image);
    EXPECT_EQ(second.error().where, "storage_devices[0].attachment.path");
    EXPECT_THAT(second.error().what, HasSubstr(fmt::format("{} is in use by process {} (",
                                                           (folder / "disk").string(), ::getpid())));
  }
  first = fail(ErrorCode::internal, "", "closed");
  EXPECT_TRUE(open(writing));
}

TEST_F(HostFiles, ReadersShare) {
  auto reading = configuration();
  reading.storage_devices = {disk(true)};
  auto first = open(reading);
  EXPECT_TRUE(open(reading));
  auto writing = configuration();
  writing.storage_devices = {disk()};
  EXPECT_FALSE(open(writing));
}

TEST_F(HostFiles, LockingCanBeLeftOut) {
  auto wanted = configuration();
  wanted.storage_devices = {disk()};
  auto first = open(wanted);
  auto unlocked = disk();
  std::get<DiskImageStorageDeviceAttachment>(unlocked.attachment).locking_mode = DiskImageLockingMode::none;
  wanted.storage_devices = {unlocked};
  EXPECT_TRUE(open(wanted));
}

TEST_F(HostFiles, SerialFilesAreEmptiedOrAppendedTo) {
  std::ofstream(folder / "log") << "before";
  auto wanted = configuration();
  wanted.serial_ports = {
      UART16550SerialPortConfiguration{.attachment = FileSerialPortAttachment{folder / "log", true}}};
  ASSERT_TRUE(open(wanted));
  EXPECT_EQ(std::filesystem::file_size(folder / "log"), 6u);
  wanted.serial_ports = {
      UART16550SerialPortConfiguration{.attachment = FileSerialPortAttachment{folder / "log"}}};
  ASSERT_TRUE(open(wanted));
  EXPECT_EQ(std::filesystem::file_size(folder / "log"), 0u);
}

TEST_F(HostFiles, PseudoTerminalsAreRawForEachUserAndTellWhetherThereIsOne) {
  auto wanted = configuration();
  wanted.serial_ports = {
      UART16550SerialPortConfiguration{.attachment = PseudoTerminalSerialPortAttachment{}}};
  auto files = open(wanted);
  ASSERT_TRUE(files);
  const UniqueFd machine_side = files->take("serial_ports[0].attachment.writing");
  const auto is_left = [&] {
    pollfd probe{.fd = machine_side.get(), .events = 0, .revents = 0};
    return ::poll(&probe, 1, 0) == 1 && (probe.revents & POLLHUP);
  };
  for (int users = 0; users < 2; ++users) {
    const UniqueFd user(::open(ports[0].terminal->path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(user);
    ASSERT_EQ(::write(machine_side.get(), "a\r\n\x03", 4), 4);
    char buffer[8];
    EXPECT_EQ(::read(user.get(), buffer, sizeof(buffer)), 4);
    EXPECT_EQ(std::string_view(buffer, 4), "a\r\n\x03");
    EXPECT_FALSE(is_left());
  }
  EXPECT_TRUE(is_left());
}

TEST_F(HostFiles, KvmOnlyWhereItIsWanted) {
  EXPECT_FALSE(open(configuration())->contains("hypervisor.kvm"));
  auto wanted = configuration();
  wanted.hypervisor = HypervisorChoice::automatic;
  EXPECT_EQ(open(wanted)->contains("hypervisor.kvm"), ::access("/dev/kvm", R_OK | W_OK) == 0);
}

TEST_F(HostFiles, FirmwareWithItsVariables) {
  auto wanted = configuration();
  const auto firmware = folder / "CODE.fd", store = folder / "store.fd";
  std::ofstream(firmware) << "code";
  std::ofstream(store) << "no variables";
  wanted.boot_loader = EFIBootLoader{.variable_store = {store}, .firmware = firmware};
  auto files = open(wanted);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().where, "boot_loader.variable_store.path");
  EXPECT_THAT(files.error().what, HasSubstr("is not a variable store"));
  std::get<EFIBootLoader>(*wanted.boot_loader).variable_store = {};
  files = open(wanted);
  ASSERT_FALSE(files) << "there is no empty store beside the firmware";
  EXPECT_EQ(files.error().where, "boot_loader.variable_store");
  std::filesystem::remove(firmware);
  files = open(wanted);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().where, "boot_loader.firmware");
}

TEST_F(HostFiles, WhatIsMissingIsNamed) {
  auto wanted = configuration();
  std::filesystem::remove(folder / "kernel");
  auto files = open(wanted);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().where, "boot_loader.kernel");
  EXPECT_THAT(files.error().what, HasSubstr("No such file"));
}

}  // namespace
}  // namespace alcove::client
