// The object around its process: devices, many machines, what is left behind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <alcove/literals.h>

#include <algorithm>
#include <thread>

#include "client/test_machine.h"
#include "support/unique_fd.h"

namespace alcove::client {
namespace {

using namespace literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Machines : public MachineTest {};

size_t open_descriptors() {
  const std::filesystem::directory_iterator begin("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

size_t threads() {
  const std::filesystem::directory_iterator begin("/proc/self/task");
  return static_cast<size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

TEST_F(Machines, InvalidOnesAreNotCreated) {
  auto machine = VirtualMachine::create({}, options());
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().where, "boot_loader");
}

TEST_F(Machines, MissingProgramIsExplained) {
  auto machine = VirtualMachine::create(configuration(), {.machine_program = folder / "missing"});
  auto started = start(**machine);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::not_supported);
  EXPECT_THAT(started.error().message(), HasSubstr("is not a program"));
  EXPECT_EQ((*machine)->state(), VirtualMachineState::stopped);
}

TEST_F(Machines, AProgramThatIsNoMachineIsAnError) {
  auto machine = VirtualMachine::create(configuration(), {.machine_program = "/bin/true"});
  auto started = start(**machine);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().what, HasSubstr("ended with status 0"));
  EXPECT_EQ((*machine)->state(), VirtualMachineState::error);
}

TEST_F(Machines, TwoCannotWriteOneDisk) {
  auto wanted = configuration();
  wanted.storage_devices = {disk()};
  auto first = running(wanted);
  auto second = create(wanted);
  auto started = start(*second);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().what, HasSubstr("in use by process " + std::to_string(first->process_id())));
  ASSERT_TRUE(stop(*first));
  EXPECT_TRUE(start(*second)) << "stop() completes only when the disk is free";
}

TEST_F(Machines, NetworkDevices) {
  auto wanted = configuration("addresses_soon");
  wanted.network_devices = {VirtioNetworkDeviceConfiguration{
      .attachment = NATNetworkDeviceAttachment{.port_forwards = {{.guest_port = 22}}}}};
  auto machine = create(wanted);
  ASSERT_EQ(machine->network_devices().size(), 1u);
  NetworkDevice& device = *machine->network_devices()[0];
  EXPECT_EQ(device.mac_address(),
            std::get<VirtioNetworkDeviceConfiguration>(wanted.network_devices[0]).mac_address);
  EXPECT_THAT(device.addresses(), IsEmpty());
  std::promise<std::vector<std::string>> reported;
  auto observation = machine->observe({.network_addresses_changed = [&](NetworkDevice& changed) {
    EXPECT_EQ(&changed, &device);
    reported.set_value(changed.addresses());
  }});
  ASSERT_TRUE(start(*machine));
  EXPECT_THAT(device.port_forwards(), ElementsAre(PortForward{.host_port = 40000, .guest_port = 22}));
  EXPECT_THAT(reported.get_future().get(), ElementsAre("10.0.2.15", "fec0::15"));

  Outcome<PortForward> added;
  device.add_port_forward({.protocol = TransportProtocol::udp, .guest_port = 53}, added.completion());
  const PortForward expected{.protocol = TransportProtocol::udp, .host_port = 40001, .guest_port = 53};
  EXPECT_EQ(added.get(), expected);
  EXPECT_EQ(device.port_forwards().back(), expected);

  Outcome<PortForward> taken;
  device.add_port_forward({.host_port = 1, .guest_port = 1}, taken.completion());
  EXPECT_EQ(taken.get().error().code, ErrorCode::network_error);

  Outcome removed, removed_again;
  device.remove_port_forward(expected, removed.completion());
  EXPECT_TRUE(removed.get());
  device.remove_port_forward(expected, removed_again.completion());
  EXPECT_EQ(code_of(removed_again.get()), ErrorCode::network_error);
  EXPECT_EQ(device.port_forwards().size(), 1u);

  ASSERT_TRUE(stop(*machine));
  EXPECT_THAT(device.port_forwards(), IsEmpty());
  Outcome<PortForward> stopped;
  device.add_port_forward({.guest_port = 1}, stopped.completion());
  EXPECT_EQ(stopped.get().error().code, ErrorCode::invalid_virtual_machine_state);
}

TEST_F(Machines, MemoryBalloon) {
  auto wanted = configuration();
  wanted.memory_size = 512_MiB;
  wanted.memory_balloon_devices.emplace_back();
  auto machine = running(wanted);
  MemoryBalloonDevice& balloon = *machine->memory_balloon_devices().at(0);
  EXPECT_EQ(balloon.target_virtual_machine_memory_size(), 512_MiB);
  balloon.set_target_virtual_machine_memory_size(100_MiB + 5);
  EXPECT_EQ(balloon.target_virtual_machine_memory_size(), 100_MiB);
  Outcome<MemoryBalloonStatistics> statistics;
  balloon.statistics(statistics.completion());
  EXPECT_EQ(statistics.get(), (MemoryBalloonStatistics{.current_memory_size = 100_MiB, .free_memory = 4096}));
  balloon.set_target_virtual_machine_memory_size(1);
  EXPECT_EQ(balloon.target_virtual_machine_memory_size(),
            VirtualMachineConfiguration::minimum_allowed_memory_size());
  balloon.set_target_virtual_machine_memory_size(1_TiB);
  EXPECT_EQ(balloon.target_virtual_machine_memory_size(), 512_MiB);
}

TEST_F(Machines, SerialPorts) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  auto wanted = configuration();
  wanted.serial_ports = {
      UART16550SerialPortConfiguration{},
      UART16550SerialPortConfiguration{.attachment =
                                           FileHandleSerialPortAttachment{.writing = writing.get()}},
      VirtioConsoleDeviceSerialPortConfiguration{.attachment = PseudoTerminalSerialPortAttachment{}}};
  auto machine = create(wanted);
  writing.reset();  // The machine has its own.
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(machine->serial_ports()[0]->log(), "hello from port 0\n");
  EXPECT_EQ(machine->serial_ports()[0]->pseudo_terminal_path(), "");
  char buffer[64];
  const ssize_t count = ::read(reading.get(), buffer, sizeof(buffer));
  EXPECT_EQ(std::string_view(buffer, static_cast<size_t>(std::max<ssize_t>(count, 0))),
            "hello from port 1\n");
  const UniqueFd terminal(
      ::open(machine->serial_ports()[2]->pseudo_terminal_path().c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(terminal);
  EXPECT_EQ(::read(terminal.get(), buffer, sizeof(buffer)), 18);

  ASSERT_EQ(::kill(machine->process_id(), SIGKILL), 0);
  EXPECT_FALSE(machine->wait_until_stopped());
  EXPECT_EQ(machine->serial_ports()[0]->log(), "hello from port 0\n") << "the log outlives the process";
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(machine->serial_ports()[0]->log_position(), 18u) << "a start empties the log";
}

TEST_F(Machines, ManyAtOnce) {
  std::vector<std::unique_ptr<VirtualMachine>> machines;
  std::vector<Outcome<>> started(12);
  for (auto& outcome : started) {
    machines.push_back(create("reboot_soon"));
    machines.back()->start(outcome.completion());
  }
  for (auto& outcome : started) EXPECT_TRUE(outcome.get());
  for (size_t index = 0; index < machines.size(); index += 2) ::kill(machines[index]->process_id(), SIGKILL);
  for (size_t index = 0; index < machines.size(); ++index) {
    if (index % 2 == 0) {
      EXPECT_FALSE(machines[index]->wait_until_stopped());
    } else {
      EXPECT_TRUE(pause(*machines[index]));
    }
  }
}

TEST_F(Machines, LeaveNothingBehind) {
  auto wanted = configuration();
  wanted.storage_devices = {disk()};
  wanted.serial_ports = {
      UART16550SerialPortConfiguration{.attachment = PseudoTerminalSerialPortAttachment{}},
      UART16550SerialPortConfiguration{.attachment = FileSerialPortAttachment{folder / "log"}}};
  const size_t descriptors_before = open_descriptors();
  const size_t threads_before = threads();
  for (int round = 0; round < 3; ++round) {
    auto machine = running(wanted);
    if (round == 1) {
      EXPECT_TRUE(stop(*machine));
    }
    if (round == 2) {
      ::kill(machine->process_id(), SIGKILL);
      EXPECT_FALSE(machine->wait_until_stopped());
    }
    machine.reset();
    EXPECT_EQ(open_descriptors(), descriptors_before);
    EXPECT_EQ(threads(), threads_before);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "every child has been waited for";
  }
}

TEST_F(Machines, AFloodOfEventsDoesNoHarm) {
  auto machine = running("chatter");
  EXPECT_TRUE(pause(*machine));
  EXPECT_TRUE(resume(*machine));
}

// The process holds nothing of the application's but what it was given.
TEST_F(Machines, TheProcessInheritsNothing) {
  const UniqueFd leaky(::open("/dev/null", O_RDONLY));  // NOLINT: without O_CLOEXEC on purpose.
  auto machine = running();
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(machine->process_id()) + "/fd")) {
    const int number = std::stoi(entry.path().filename());
    if (number <= 2) continue;
    EXPECT_NE(std::filesystem::read_symlink(entry.path()), "/dev/null") << number;
  }
}

TEST_F(Machines, EndWithTheirApplication) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd from_child(ends[0]);
  UniqueFd to_parent(ends[1]);
  // A new program rather than a fork of this one, which has threads: this test again, told to be the
  // application.
  const pid_t application = ::fork();
  ASSERT_GE(application, 0);
  if (application == 0) {
    ::dup2(to_parent.get(), STDOUT_FILENO);
    ::setenv("ALCOVE_TEST_APPLICATION", (folder / "kernel").c_str(), 1);
    ::execl("/proc/self/exe", "client_test", "--gtest_filter=Application.RunsUntilKilled", "--gtest_brief=1",
            nullptr);
    ::_exit(1);
  }
  to_parent.reset();
  std::string text;
  char buffer[256];
  while (text.find("machine=") == std::string::npos || !text.ends_with('\n')) {
    const ssize_t count = ::read(from_child.get(), buffer, sizeof(buffer));
    ASSERT_GT(count, 0) << text;
    text.append(buffer, static_cast<size_t>(count));
  }
  const int machine = std::stoi(text.substr(text.find("machine=") + 8));
  EXPECT_EQ(::kill(machine, 0), 0);
  ::kill(application, SIGKILL);
  ::waitpid(application, nullptr, 0);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  // A zombie of init's is gone as well.
  const auto lives = [&] {
    std::string state;
    std::ifstream status("/proc/" + std::to_string(machine) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("State:")) state = line;
    }
    return !state.empty() && state.find('Z') == std::string::npos;
  };
  while (lives() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(lives());
}

TEST(Application, RunsUntilKilled) {
  const char* kernel = std::getenv("ALCOVE_TEST_APPLICATION");
  if (kernel == nullptr) GTEST_SKIP() << "a part of Machines.EndWithTheirApplication";
  auto machine = VirtualMachine::create(
      {.boot_loader = LinuxBootLoader{.kernel = kernel}, .hypervisor = HypervisorChoice::soft},
      {.machine_program = ALCOVE_FAKE_VM});
  ASSERT_TRUE(machine);
  Outcome started;
  (*machine)->start(started.completion());
  ASSERT_TRUE(started.get());
  ::dprintf(STDOUT_FILENO, "machine=%d\n", (*machine)->process_id());
  std::this_thread::sleep_for(kPatience);
}

}  // namespace
}  // namespace alcove::client
