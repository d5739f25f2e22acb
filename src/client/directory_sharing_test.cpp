// Shares that are replaced while the machine runs, with the fake guest: it has one device.
#include "client/test_machine.h"

namespace alcove::client {
namespace {

struct DirectorySharingTest : MachineTest {
  VirtualMachineConfiguration with_share() const {
    VirtualMachineConfiguration result = configuration();
    result.directory_sharing_devices = {
        VirtioFileSystemDeviceConfiguration{.tag = "src", .share = SingleDirectoryShare{{.path = folder}}}};
    return result;
  }
  static Result<> set(DirectorySharingDevice& device, std::optional<DirectoryShare> share) {
    Outcome outcome;
    device.set_share(std::move(share), outcome.completion());
    return outcome.get();
  }
};

TEST_F(DirectorySharingTest, SharesAreReplaced) {
  auto machine = running(with_share());
  ASSERT_EQ(machine->directory_sharing_devices().size(), 1u);
  DirectorySharingDevice& device = *machine->directory_sharing_devices()[0];
  EXPECT_EQ(device.tag(), "src");
  const SingleDirectoryShare other{{.path = "/", .read_only = true}};
  ASSERT_TRUE(set(device, other));
  EXPECT_EQ(device.share(), DirectoryShare(other));
  ASSERT_TRUE(set(device, std::nullopt));
  EXPECT_EQ(device.share(), std::nullopt);
}

TEST_F(DirectorySharingTest, WhatCannotBeSharedIsNot) {
  auto machine = running(with_share());
  DirectorySharingDevice& device = *machine->directory_sharing_devices()[0];
  const auto missing = set(device, SingleDirectoryShare{{.path = folder / "missing"}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().where, "share.directory.path");
  const auto unnamed = set(device, MultipleDirectoryShare{{{"a/b", {.path = folder}}}});
  ASSERT_FALSE(unnamed);
  EXPECT_EQ(unnamed.error().where, "share.directories.a/b");
  EXPECT_EQ(device.share(), DirectoryShare(SingleDirectoryShare{{.path = folder}}));
}

TEST_F(DirectorySharingTest, NeedsARunningMachine) {
  auto machine = VirtualMachine::create(with_share(), options()).value();
  const auto result = set(*machine->directory_sharing_devices()[0], std::nullopt);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid_virtual_machine_state);
}

}  // namespace
}  // namespace alcove::client
