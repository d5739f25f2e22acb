// Consoles' ports, with the fake guest: it writes "hello" to what a port is attached to, and opens it.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>

#include "client/test_machine.h"
#include "support/unique_fd.h"

namespace alcove::client {
namespace {

struct ConsolesTest : MachineTest {
  VirtualMachineConfiguration with_agent() const {
    VirtualMachineConfiguration result = configuration("agent");
    result.console_devices = {VirtioConsoleDeviceConfiguration{
        .ports = {{.name = "com.redhat.spice.0", .attachment = SpiceAgentPortAttachment{}}}}};
    return result;
  }
  VirtualMachineConfiguration with_ports() const {
    VirtualMachineConfiguration result = configuration();
    result.console_devices = {VirtioConsoleDeviceConfiguration{
        .ports = {{.name = "org.example.0"},
                  {.number = 1, .name = "com.redhat.spice.0", .attachment = SpiceAgentPortAttachment{}},
                  {.number = 5, .is_console = true, .attachment = PseudoTerminalSerialPortAttachment{}}}}};
    return result;
  }
  static Result<> attach(ConsolePort& port, std::optional<ConsolePortAttachment> attachment) {
    Outcome outcome;
    port.set_attachment(std::move(attachment), outcome.completion());
    return outcome.get();
  }
  static bool eventually(const auto& condition) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      ::usleep(1000);
    }
    return true;
  }
};

TEST_F(ConsolesTest, PortsAreAttachedToOtherThings) {
  auto machine = running(with_ports());
  ASSERT_EQ(machine->console_devices().size(), 1u);
  ASSERT_EQ(machine->console_devices()[0]->ports().size(), 3u);
  ConsolePort& port = *machine->console_devices()[0]->ports()[0];
  EXPECT_EQ(port.configuration().name, "org.example.0");
  EXPECT_FALSE(port.is_open());
  std::atomic<int> opened = 0, closed = 0;
  const Observation observation =
      machine->observe({.console_port_did_open = [&](ConsolePort&) { ++opened; },
                        .console_port_did_close = [&](ConsolePort&) { ++closed; }});

  const FileSerialPortAttachment file{.path = folder / "output"};
  ASSERT_TRUE(attach(port, file));
  EXPECT_EQ(port.attachment(), ConsolePortAttachment(file));
  std::string text;
  std::ifstream(folder / "output") >> text;
  EXPECT_EQ(text, "hello");
  EXPECT_TRUE(eventually([&] { return opened == 1; }));
  EXPECT_TRUE(port.is_open());

  ASSERT_TRUE(attach(port, PseudoTerminalSerialPortAttachment{}));
  EXPECT_TRUE(eventually([&] { return opened == 2 && closed == 1; }));
  EXPECT_TRUE(port.is_open());
  const UniqueFd terminal(::open(port.pseudo_terminal_path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(terminal) << port.pseudo_terminal_path();
  char got[8] = {};
  EXPECT_EQ(::read(terminal.get(), got, sizeof got), 5);

  ASSERT_TRUE(attach(port, std::nullopt));
  EXPECT_EQ(port.attachment(), std::nullopt);
  EXPECT_EQ(port.pseudo_terminal_path(), "");
  EXPECT_TRUE(eventually([&] { return closed == 2; }));
  EXPECT_EQ(opened, 2) << "once more without having been told of the end";
}

TEST_F(ConsolesTest, ConfiguredAttachmentsComeBackWithTheNextStart) {
  auto machine = running(with_ports());
  ConsolePort& port = *machine->console_devices()[0]->ports()[2];
  const std::string terminal = port.pseudo_terminal_path();
  EXPECT_FALSE(terminal.empty());
  ASSERT_TRUE(attach(port, FileSerialPortAttachment{.path = folder / "output"}));
  EXPECT_EQ(port.pseudo_terminal_path(), "");
  ASSERT_TRUE(stop(*machine));
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(port.attachment(), ConsolePortAttachment(PseudoTerminalSerialPortAttachment{}));
  EXPECT_EQ(port.pseudo_terminal_path(), terminal);
}

TEST_F(ConsolesTest, WhatCannotBeAttachedIsNot) {
  auto machine = running(with_ports());
  const auto& ports = machine->console_devices()[0]->ports();
  const auto missing = attach(*ports[0], FileSerialPortAttachment{.path = folder / "missing" / "file"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().where, "attachment.path");
  EXPECT_EQ(attach(*ports[0], SpiceAgentPortAttachment{}).error().code, ErrorCode::not_supported);
  EXPECT_EQ(attach(*ports[1], std::nullopt).error().code, ErrorCode::not_supported);
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(attach(*ports[0], std::nullopt).error().code, ErrorCode::invalid_virtual_machine_state);
}

TEST_F(ConsolesTest, TerminalsHaveASize) {
  auto machine = running(with_ports());
  ConsolePort& port = *machine->console_devices()[0]->ports()[2];
  Outcome good, bad;
  port.set_terminal_size(132, 43, good.completion());
  port.set_terminal_size(0, 0, bad.completion());
  EXPECT_TRUE(good.get());
  EXPECT_FALSE(bad.get());
}

TEST_F(ConsolesTest, AMachineWithAnAgentsPortHasAClipboard) {
  EXPECT_EQ(create()->clipboard(), nullptr);
  auto machine = running(with_ports());
  ASSERT_NE(machine->clipboard(), nullptr);
  EXPECT_FALSE(machine->clipboard()->is_connected());
  EXPECT_TRUE(machine->clipboard()->set_contents({.text = "kept for the agent"}));
  EXPECT_TRUE(machine->clipboard()->contents().is_empty());
}

TEST_F(ConsolesTest, TheClipboardIsShared) {
  auto machine = running(with_agent());
  Clipboard& clipboard = *machine->clipboard();
  std::atomic<int> changes = 0;
  const Observation observation = machine->observe({.clipboard_changed = [&](Clipboard&) { ++changes; }});
  for (const std::string text : {"once", "after the next start"}) {
    EXPECT_TRUE(eventually([&] { return clipboard.is_connected(); }));
    ASSERT_TRUE(clipboard.set_contents({.text = text}));
    EXPECT_TRUE(eventually([&] { return clipboard.contents().text == "echo: " + text; }));
    ASSERT_TRUE(stop(*machine));
    EXPECT_TRUE(eventually([&] { return !clipboard.is_connected(); }));
    ASSERT_TRUE(start(*machine));
  }
  EXPECT_GE(changes, 2);
}

}  // namespace
}  // namespace alcove::client
