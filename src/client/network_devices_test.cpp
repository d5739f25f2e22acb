// What network devices' cables are plugged into, with the fake guest: it sends "hello" where it gets a
// socket.
#include <sys/socket.h>

#include <atomic>

#include "client/shared_networks.h"
#include "client/test_machine.h"
#include "support/unique_fd.h"

namespace alcove::client {
namespace {

struct SocketPair {
  explicit SocketPair(int type = SOCK_DGRAM) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
    own = UniqueFd(ends[0]);
    other = UniqueFd(ends[1]);
    const timeval limit{.tv_sec = 10};
    ::setsockopt(own.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  std::string receive() const {
    char text[16] = {};
    return {text, static_cast<size_t>(std::max<ssize_t>(0, ::recv(own.get(), text, sizeof text, 0)))};
  }
  UniqueFd own, other;
};

struct NetworkDevicesTest : MachineTest {
  VirtualMachineConfiguration with(NetworkDeviceAttachment attachment, std::string behaviour = "") const {
    VirtualMachineConfiguration result = configuration(std::move(behaviour));
    result.network_devices = {VirtioNetworkDeviceConfiguration{.attachment = std::move(attachment)}};
    return result;
  }
  static Result<> attach(VirtualMachine& machine, std::optional<NetworkDeviceAttachment> attachment) {
    Outcome outcome;
    machine.network_devices()[0]->set_attachment(std::move(attachment), outcome.completion());
    return outcome.get();
  }
};

TEST_F(NetworkDevicesTest, FileHandlesAreDuplicatedAndPassed) {
  SocketPair pair;
  auto machine = create(with(FileHandleNetworkDeviceAttachment{.file_handle = pair.other.get()}));
  pair.other.reset();
  for (int start_number = 0; start_number < 2; ++start_number) {
    ASSERT_TRUE(start(*machine));
    EXPECT_EQ(pair.receive(), "hello");
    ASSERT_TRUE(stop(*machine));
  }
}

TEST_F(NetworkDevicesTest, CablesArePluggedInElsewhereAndPulled) {
  const NATNetworkDeviceAttachment nat{.port_forwards = {{.host_port = 2222, .guest_port = 22}}};
  auto machine = running(with(nat));
  NetworkDevice& device = *machine->network_devices()[0];
  EXPECT_EQ(device.attachment(), NetworkDeviceAttachment(nat));
  EXPECT_EQ(device.port_forwards().size(), 1u);
  for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
    const SocketPair pair(type);
    const FileHandleNetworkDeviceAttachment handle{.file_handle = pair.other.get()};
    ASSERT_TRUE(attach(*machine, handle));
    EXPECT_EQ(device.attachment(), NetworkDeviceAttachment(handle));
    EXPECT_EQ(pair.receive(), "hello");
    EXPECT_TRUE(device.port_forwards().empty());
  }
  ASSERT_TRUE(attach(*machine, std::nullopt));
  EXPECT_EQ(device.attachment(), std::nullopt);
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(code_of(attach(*machine, nat)), ErrorCode::invalid_virtual_machine_state);
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(device.attachment(), NetworkDeviceAttachment(nat)) << "as configured";
}

TEST_F(NetworkDevicesTest, CountWhatGoesOverThem) {
  auto machine = create(with(NATNetworkDeviceAttachment{}));
  const auto statistics = [&] {
    Outcome<NetworkDeviceStatistics> outcome;
    machine->network_devices()[0]->statistics(outcome.completion());
    return outcome.get();
  };
  EXPECT_FALSE(statistics());
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(statistics().value(), (NetworkDeviceStatistics{.sent_frames = 3, .sent_bytes = 180}));
}

TEST_F(NetworkDevicesTest, WhatCannotBeAttachedIsNot) {
  auto machine = running(with(NATNetworkDeviceAttachment{}));
  const auto where = [&](NetworkDeviceAttachment attachment) {
    const auto attached = attach(*machine, std::move(attachment));
    return attached ? "" : attached.error().where;
  };
  EXPECT_EQ(where(FileHandleNetworkDeviceAttachment{.file_handle = 0}), "attachment.file_handle");
  EXPECT_EQ(where(TapNetworkDeviceAttachment{.interface_name = "nosuch0"}), "attachment.interface_name");
  EXPECT_EQ(where(TapNetworkDeviceAttachment{.interface_name = "lo"}), "attachment.interface_name");
  EXPECT_EQ(where(PasstNetworkDeviceAttachment{.program = "/bin/false"}), "attachment");
  EXPECT_EQ(machine->network_devices()[0]->attachment(),
            NetworkDeviceAttachment(NATNetworkDeviceAttachment{}));
}

TEST_F(NetworkDevicesTest, AFailurePullsTheCable) {
  auto machine = running(with(NATNetworkDeviceAttachment{}, "fail_network"));
  NetworkDevice& device = *machine->network_devices()[0];
  std::promise<std::string> told;
  const Observation observation = machine->observe(
      {.network_attachment_was_disconnected = [&](NetworkDevice& failed, const Error& error) {
        EXPECT_EQ(&failed, &device);
        EXPECT_EQ(failed.attachment(), std::nullopt);
        told.set_value(error.what);
      }});
  const SocketPair pair;
  ASSERT_TRUE(attach(*machine, FileHandleNetworkDeviceAttachment{.file_handle = pair.other.get()}));
  auto future = told.get_future();
  ASSERT_EQ(future.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(future.get(), "it is torn");
}

TEST(SharedNetworks, HaveAFolderOfTheUsers) {
  const TemporaryFolder temporary;
  ::setenv("XDG_RUNTIME_DIR", temporary.path().c_str(), 1);
  EXPECT_TRUE(SharedNetwork::list().empty());
  EXPECT_FALSE(shared_networks_folder(Folder::as_it_is)) << "which makes none";
  const auto folder = shared_networks_folder();
  ASSERT_TRUE(folder);
  EXPECT_EQ(*folder, temporary.path() / "alcove" / "networks");
  EXPECT_TRUE(SharedNetwork::list().empty());
  std::filesystem::permissions(*folder, std::filesystem::perms::all);
  EXPECT_FALSE(shared_networks_folder()) << "anybody could write there";
  ::unsetenv("XDG_RUNTIME_DIR");
}

TEST(BridgedNetworkInterfaces, AreNeitherLoopbackNorMachinesOwn) {
  for (const BridgedNetworkInterface& interface : BridgedNetworkInterface::list()) {
    EXPECT_NE(interface.identifier, "lo");
    EXPECT_FALSE(interface.display_name.empty());
  }
}

}  // namespace
}  // namespace alcove::client
