#include "pci/root.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "pci/bridges.h"
#include "pci/msix.h"

namespace alcove::pci {
namespace {

using namespace spec::pci;

struct FakeLine final : bus::InterruptLine {
  void set(bool asserted) override {
    up = asserted;
    ++changes;
  }
  bool up = false;
  int changes = 0;
};

struct FakeSink final : bus::MessageSink {
  void send(const bus::Message& message) override { messages.push_back(message); }
  std::vector<bus::Message> messages;
};

// A function with a 16 KiB 64-bit BAR of plain memory, and one of 4 KiB.
struct MemoryFunction final : Function {
  explicit MemoryFunction(uint16_t device)
      : Function({.vendor = 0x1234, .device = device, .class_code = kClassUnclassified, .revision = 7}) {
    add_memory_bar(0, 0x4000, true);
    add_memory_bar(2, 0x1000, false);
    use_interrupt_pin(1);
    const std::byte body[] = {std::byte{1}, std::byte{2}, std::byte{3}};
    const std::byte writable[] = {std::byte{0}, std::byte{0xf0}};
    first_capability = add_capability(kCapabilityVendor, body, writable);
    second_capability = add_capability(kCapabilityVendor, body);
  }
  bus::Access read_bar(unsigned bar, uint64_t offset, std::span<std::byte> data) override {
    std::memcpy(data.data(), contents[bar] + offset, data.size());
    return bus::Access::done;
  }
  bus::Access write_bar(unsigned bar, uint64_t offset, std::span<const std::byte> data) override {
    std::memcpy(contents[bar] + offset, data.data(), data.size());
    return bus::Access::done;
  }
  void bar_moved(unsigned bar, std::optional<uint64_t> address) override { moves.emplace_back(bar, address); }
  using Function::set_interrupt;

  uint8_t first_capability, second_capability;
  std::byte contents[3][0x4000] = {};
  std::vector<std::pair<unsigned, std::optional<uint64_t>>> moves;
};

struct RootTest : ::testing::Test {
  bus::AddressMap ports, memory;
  std::array<FakeLine, 4> lines;
  MemoryFunction a{0x10}, b{0x11};
  HostBridge host{0xE000'0000};
  LpcBridge lpc{0x600};
  std::unique_ptr<Root> root;

  void SetUp() override {
    RootOptions options{.high = {0x80'0000'0000, 0x40'0000'0000}};
    for (int i = 0; i < 4; ++i) options.interrupt_lines[i] = &lines[i];
    options.interrupt_numbers = {16, 17, 18, 19};
    root = Root::create(ports, memory, options).value();
    ASSERT_TRUE(root->add(0, 0, host, "host bridge"));
    ASSERT_TRUE(root->add(31, 0, lpc, "LPC"));
    ASSERT_TRUE(root->add(1, 0, a, "a"));
    ASSERT_TRUE(root->add(5, 0, b, "b"));
  }
  template <class T = uint32_t>
  T load(uint64_t address) {
    T value;
    memory.read(address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <class T>
  void store(uint64_t address, T value) {
    memory.write(address, std::as_bytes(std::span(&value, 1)));
  }
  template <class T>
  T in(uint16_t port) {
    T value;
    ports.read(port, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <class T>
  void out(uint16_t port, T value) {
    ports.write(port, std::as_bytes(std::span(&value, 1)));
  }
  static uint64_t ecam(unsigned device, unsigned offset) { return 0xE000'0000 + (device << 15) + offset; }
};

TEST_F(RootTest, BothMechanismsFindTheFunctions) {
  EXPECT_EQ(load(ecam(0, 0)), 0x29c0'8086u);
  EXPECT_EQ(load(ecam(31, 0)), 0x2918'8086u);
  EXPECT_EQ(load(ecam(31, 8)), 0x0601'0002u);
  EXPECT_EQ(load(ecam(2, 0)), 0xffff'ffffu);
  EXPECT_EQ(load(ecam(0, 0) + (1 << 20)), 0xffff'ffffu);  // Bus 1.
  EXPECT_EQ(load(ecam(1, 0x100)), 0u);                    // No extended capabilities.
  out<uint32_t>(kAddressPort, 0x8000'0000 | 1 << 11);
  EXPECT_EQ(in<uint32_t>(kAddressPort), 0x8000'0800u);
  EXPECT_EQ(in<uint32_t>(kDataPort), 0x0010'1234u);
  EXPECT_EQ(in<uint16_t>(kDataPort + 2), 0x10);
  EXPECT_EQ(in<uint8_t>(kDataPort + 1), 0x12);
  out<uint32_t>(kAddressPort, 0);
  EXPECT_EQ(in<uint32_t>(kDataPort), 0xffff'ffffu);
}

// EFI firmware tries which of these bits stick before it uses what is behind the bridge.
TEST_F(RootTest, PortsAndMemoryBehindTheLpcBridgeAreAlwaysDecoded) {
  EXPECT_EQ(load<uint16_t>(ecam(31, kCommand)), 7);
  store<uint16_t>(ecam(31, kCommand), 0);
  EXPECT_EQ(load<uint16_t>(ecam(31, kCommand)), 7);
  store<uint16_t>(ecam(31, kCommand), 0x27);
  EXPECT_EQ(load<uint16_t>(ecam(31, kCommand)), 7);
}

TEST_F(RootTest, ResetControlLiesInTheAddressPort) {
  struct Control final : bus::Device {
    bus::Access read(uint64_t, std::span<std::byte>) override { return bus::Access::done; }
    bus::Access write(uint64_t, std::span<const std::byte> data) override {
      value = static_cast<uint8_t>(data[0]);
      return bus::Access::done;
    }
    uint8_t value = 0;
  } control;
  bus::AddressMap other_ports, other_memory;
  auto other = Root::create(other_ports, other_memory, {.reset_control = &control}).value();
  const std::byte six{6};
  other_ports.write(0xCF9, std::span(&six, 1));
  EXPECT_EQ(control.value, 6);
}

TEST_F(RootTest, BarsAreAssignedDecodedAndDisjoint) {
  const uint32_t low_a = load(ecam(1, kBar0)), low_b = load(ecam(5, kBar0));
  EXPECT_EQ(low_a & 0xf, kBar64Bit);
  const uint64_t at_a = low_a & ~0xfu, at_b = low_b & ~0xfu;
  EXPECT_GE(at_a, 0xC000'0000u);
  EXPECT_EQ(at_a % 0x4000, 0u);
  EXPECT_TRUE(at_a + 0x4000 <= at_b || at_b + 0x4000 <= at_a);
  store<uint32_t>(at_a + 8, 0x1234'5678);
  EXPECT_EQ(load(at_a + 8), 0x1234'5678u);
  EXPECT_EQ(load<uint64_t>(at_a + 8), 0x1234'5678u);
  EXPECT_EQ(load(at_b + 8), 0u);
  EXPECT_EQ(load(0xC800'0000), 0xffff'ffffu);
  EXPECT_EQ(load<uint64_t>(at_a + 0x3ffc), ~uint64_t{0});  // Runs over the BAR's end.
}

TEST_F(RootTest, BarsAreSizedAndMoved) {
  store<uint32_t>(ecam(1, kBar0), 0xffff'ffff);
  store<uint32_t>(ecam(1, kBar0 + 4), 0xffff'ffff);
  EXPECT_EQ(load(ecam(1, kBar0)), 0xffff'c004u);
  EXPECT_EQ(load(ecam(1, kBar0 + 4)), 0xffff'ffffu);
  store<uint32_t>(ecam(1, kBar0), 0x1234'0000);
  store<uint32_t>(ecam(1, kBar0 + 4), 0x81);
  a.contents[0][0] = std::byte{0x55};
  EXPECT_EQ(load<uint8_t>(0x81'1234'0000), 0x55);  // In the high window.
  store<uint16_t>(ecam(1, kCommand), 0);
  EXPECT_EQ(load<uint8_t>(0x81'1234'0000), 0xff);
  EXPECT_EQ(a.moves.back().second, std::nullopt);
  store<uint16_t>(ecam(1, kCommand), kCommandMemory);
  EXPECT_EQ(load<uint8_t>(0x81'1234'0000), 0x55);
  store<uint32_t>(ecam(1, kBar0 + 8), 0xffff'ffff);
  EXPECT_EQ(load(ecam(1, kBar0 + 8)), 0xffff'f000u);
  store<uint32_t>(ecam(1, kBar0 + 12), 0xffff'ffff);
  EXPECT_EQ(load(ecam(1, kBar0 + 12)), 0u);
  root->reset();
  EXPECT_EQ(load<uint8_t>(0x81'1234'0000), 0xff);
  EXPECT_EQ(load<uint8_t>(load(ecam(1, kBar0)) & ~0xfu), 0x55);
}

TEST_F(RootTest, CapabilitiesAreLinkedAndMostlyReadOnly) {
  EXPECT_TRUE(load<uint16_t>(ecam(1, kStatus)) & kStatusCapabilities);
  EXPECT_EQ(load<uint8_t>(ecam(1, kCapabilities)), a.first_capability);
  EXPECT_EQ(load<uint8_t>(ecam(1, a.first_capability + 1)), a.second_capability);
  EXPECT_EQ(load<uint8_t>(ecam(1, a.second_capability + 1)), 0);
  EXPECT_EQ(a.second_capability % 4, 0);
  store<uint32_t>(ecam(1, a.first_capability), 0xffff'ffff);
  EXPECT_EQ(load<uint16_t>(ecam(1, a.first_capability + 2)), 0xf201);
  EXPECT_EQ(load<uint8_t>(ecam(1, a.first_capability)), kCapabilityVendor);
}

TEST_F(RootTest, SharedWiresAreUpWhileAnyFunctionDrives) {
  // Devices 1 and 5, pin 1: both wire 1.
  EXPECT_EQ(load<uint8_t>(ecam(1, kInterruptLine)), 17);
  EXPECT_EQ(load<uint8_t>(ecam(5, kInterruptLine)), 17);
  a.set_interrupt(true);
  b.set_interrupt(true);
  EXPECT_TRUE(lines[1].up);
  EXPECT_TRUE(load<uint16_t>(ecam(1, kStatus)) & kStatusInterrupt);
  a.set_interrupt(false);
  EXPECT_TRUE(lines[1].up);
  EXPECT_FALSE(load<uint16_t>(ecam(1, kStatus)) & kStatusInterrupt);
  store<uint16_t>(ecam(5, kCommand), kCommandInterruptDisable);
  EXPECT_FALSE(lines[1].up);
  store<uint16_t>(ecam(5, kCommand), 0);
  EXPECT_TRUE(lines[1].up);
  root->reset();
  EXPECT_FALSE(lines[1].up);
  EXPECT_EQ(lines[0].changes + lines[2].changes + lines[3].changes, 0);
}

TEST_F(RootTest, SlotsAndMemoryRunOut) {
  MemoryFunction c(0x12);
  EXPECT_FALSE(root->add(1, 0, c, "c"));
  EXPECT_FALSE(root->add(32, 0, c, "c"));
  struct Large final : Function {
    Large() : Function({}) { add_memory_bar(0, 0x4000'0000, false); }
  } large;
  EXPECT_EQ(root->add(7, 0, large, "large").error().code, ErrorCode::virtual_machine_limit_exceeded);
}

// As it is done while processors stand.
TEST_F(RootTest, FunctionsComeAndGo) {
  auto c = std::make_unique<MemoryFunction>(0x12);
  EXPECT_FALSE(root->plug(1, *c, "c"));
  ASSERT_TRUE(root->plug(9, *c, "c"));
  EXPECT_EQ(load(ecam(9, 0)), 0x0012'1234u);
  // The guest gives it places: it decodes none before.
  EXPECT_EQ(load(ecam(9, kBar0)), kBar64Bit);
  EXPECT_EQ(load(ecam(9, kBar0 + 8)), 0u);
  EXPECT_EQ(load<uint16_t>(ecam(9, kCommand)), 0);
  store<uint32_t>(ecam(9, kBar0), 0xC800'0000);
  EXPECT_EQ(load(0xC800'0000), 0xffff'ffffu);
  store<uint16_t>(ecam(9, kCommand), kCommandMemory);
  EXPECT_EQ(load(0xC800'0000), 0u);
  // Wire 1, as a's.
  a.set_interrupt(true);
  c->set_interrupt(true);
  a.set_interrupt(false);
  EXPECT_TRUE(lines[1].up);

  root->hide(9);
  EXPECT_EQ(load(ecam(9, 0)), 0xffff'ffffu);
  EXPECT_EQ(load(0xC800'0000), 0u);
  root->remove(9, *c);
  EXPECT_FALSE(lines[1].up);
  EXPECT_EQ(load(0xC800'0000), 0xffff'ffffu);
  c->set_interrupt(true);
  EXPECT_FALSE(lines[1].up);
  c.reset();
  root->reset();
  MemoryFunction d(0x13);
  ASSERT_TRUE(root->plug(9, d, "d"));
  EXPECT_EQ(load(ecam(9, 0)), 0x0013'1234u);
  root->remove(9, d);
}

TEST_F(RootTest, WhatTheGuestPlacedIsNowhereAfterAReset) {
  MemoryFunction c(0x12);
  ASSERT_TRUE(root->plug(9, c, "c"));
  store<uint32_t>(ecam(9, kBar0), 0xC800'0000);
  store<uint16_t>(ecam(9, kCommand), kCommandMemory);
  root->reset();
  EXPECT_EQ(load(ecam(9, kBar0)), kBar64Bit);
  EXPECT_EQ(load<uint16_t>(ecam(9, kCommand)), 0);
  EXPECT_EQ(load(0xC800'0000), 0xffff'ffffu);
  root->remove(9, c);
}

TEST(Msix, MasksAndRemembers) {
  FakeSink sink;
  Msix msix(3, sink);
  const auto write = [&](uint64_t offset, uint32_t value) {
    EXPECT_EQ(msix.write_table(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  };
  write(16, 0xfee0'1003);  // The low bits are not the guest's.
  write(20, 0x1);
  write(24, 0x4041);
  EXPECT_FALSE(msix.notify(1));  // Not enabled.
  msix.set_control(kMsixEnable);
  EXPECT_TRUE(msix.notify(1));  // Masked after reset.
  EXPECT_TRUE(sink.messages.empty());
  uint64_t pending = 0;
  EXPECT_EQ(msix.read_pending(0, std::as_writable_bytes(std::span(&pending, 1))), bus::Access::done);
  EXPECT_EQ(pending, 2u);
  msix.set_control(kMsixEnable | kMsixFunctionMask);
  write(28, 0);
  EXPECT_TRUE(sink.messages.empty());
  msix.set_control(kMsixEnable);
  ASSERT_EQ(sink.messages.size(), 1u);
  EXPECT_EQ(sink.messages[0], (bus::Message{0x1'fee0'1000, 0x4041}));
  EXPECT_TRUE(msix.notify(1));
  EXPECT_EQ(sink.messages.size(), 2u);
  EXPECT_TRUE(msix.notify(0xffff));
  EXPECT_EQ(sink.messages.size(), 2u);
  std::byte byte{};
  EXPECT_EQ(msix.write_table(1, std::span(&byte, 1)), bus::Access::bad_size);
  uint32_t word = 0;
  EXPECT_EQ(msix.write_table(48, std::as_bytes(std::span(&word, 1))), bus::Access::no_register);
  EXPECT_EQ(msix.read_table(~uint64_t{3}, std::as_writable_bytes(std::span(&word, 1))),
            bus::Access::no_register);
}

}  // namespace
}  // namespace alcove::pci
