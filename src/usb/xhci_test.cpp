#include "usb/xhci.h"

#include <gtest/gtest.h>

#include "usb/testing/fake_driver.h"

namespace alcove::usb {
namespace {

using namespace spec::xhci;
using testing::EchoDevice;
using testing::FakeDriver;
using testing::Ring;

constexpr uint32_t kIoc = kTrbInterrupt;
constexpr unsigned kBulkOut = 2, kBulkIn = 3, kHeldIn = 7, kStallIn = 9;  // DCI of endpoints 1, 1, 3 and 4.

Trb normal(uint64_t address, uint32_t size, uint32_t flags = 0) {
  return {.parameter = address, .status = size, .control = type_bits(TrbType::normal) | flags};
}

struct XhciTest : ::testing::Test {
  XhciTest() : device(std::make_shared<EchoDevice>()) {
    port = *driver.xhci().attach(device);
    driver.run();
  }
  void configure() {
    ASSERT_EQ(driver.address(port), Completion::success);
    ASSERT_EQ(driver.configure({kBulkOut, kBulkIn, kHeldIn, kStallIn}), Completion::success);
  }
  // Sends bytes to the device, for it to give back.
  void store(uint32_t size) {
    for (uint32_t at = 0; at < size; at += 8)
      (void)driver.memory().store(FakeDriver::kData + at, uint64_t{at} * 3);
    out.add(normal(FakeDriver::kData, size, kIoc));
    driver.ring(driver.slot, kBulkOut);
    const auto event = driver.event_of(TrbType::transfer_event);
    ASSERT_TRUE(event);
    EXPECT_EQ(FakeDriver::code(*event), Completion::success);
  }
  void hold_a_transfer() {
    held.add(normal(FakeDriver::kData, 512, kIoc));
    driver.ring(driver.slot, kHeldIn);
    driver.settle();
    driver.xhci().strand().call([&] { ASSERT_NE(device->kept, nullptr); });
  }
  void complete_held(uint64_t size) {
    driver.xhci().strand().call([&] {
      Transfer* transfer = std::exchange(device->kept, nullptr);
      device->busy = false;
      transfer->complete(Transfer::Status::success, size);
    });
  }

  FakeDriver driver;
  std::shared_ptr<EchoDevice> device;
  unsigned port = 0;
  Ring out = driver.new_ring(kBulkOut), in = driver.new_ring(kBulkIn), held = driver.new_ring(kHeldIn),
       stalling = driver.new_ring(kStallIn);
};

TEST_F(XhciTest, TellsWhatItIs) {
  EXPECT_EQ(driver.read(kCapLength) & 0xFF, Xhci::kOperational);
  EXPECT_EQ(driver.read(kHcsParams1) >> 24, Xhci::kPortCount);
  // Two protocols, for USB 3 and USB 2, and no more.
  const uint32_t first = (driver.read(kHccParams1) >> 16) * 4;
  EXPECT_EQ(driver.read(first) >> 24, 3u);
  const uint32_t second = first + (driver.read(first) >> 8 & 0xFF) * 4;
  EXPECT_EQ(driver.read(second) >> 24, 2u);
  EXPECT_EQ(driver.read(second) >> 8 & 0xFF, 0u);
}

TEST_F(XhciTest, ShowsADeviceAtItsPortAndTellsOfItWhenItRuns) {
  const auto event = driver.event();
  ASSERT_TRUE(event);
  EXPECT_EQ(type_of(*event), TrbType::port_status_change);
  EXPECT_EQ(event->parameter >> 24, port);
  EXPECT_EQ(driver.port(port) & (kPortConnected | kPortEnabled | kPortConnectChange),
            kPortConnected | kPortEnabled | kPortConnectChange);
  EXPECT_EQ(driver.port(port) >> kPortSpeedShift & 0xF, kSpeedSuper);
  driver.write_port(port, kPortPower | kPortConnectChange);
  EXPECT_FALSE(driver.port(port) & kPortConnectChange);
}

TEST_F(XhciTest, ResetsAPort) {
  const unsigned before = device->resets;
  driver.write_port(port, kPortPower | kPortReset);
  driver.settle();
  EXPECT_EQ(device->resets, before + 1);
  EXPECT_EQ(driver.port(port) & (kPortReset | kPortResetChange | kPortEnabled),
            kPortResetChange | kPortEnabled);
}

TEST_F(XhciTest, DoesCommands) {
  EXPECT_EQ(driver.command({.control = type_bits(TrbType::no_op_command)}), Completion::success);
  EXPECT_EQ(driver.command({.control = type_bits(TrbType::setup_stage)}), Completion::trb_error);
  EXPECT_EQ(driver.command(FakeDriver::command_trb(TrbType::disable_slot, 5)), Completion::slot_not_enabled);
  for (unsigned slot = 1; slot <= Xhci::kSlots; ++slot) {
    EXPECT_EQ(driver.command(FakeDriver::command_trb(TrbType::enable_slot, 0)), Completion::success);
    EXPECT_EQ(driver.slot_of_command, slot);
  }
  EXPECT_EQ(driver.command(FakeDriver::command_trb(TrbType::enable_slot, 0)), Completion::no_slots);
}

TEST_F(XhciTest, CommandRingGoesAroundItsLink) {
  for (int i = 0; i < 600; ++i) {
    ASSERT_EQ(driver.command({.control = type_bits(TrbType::no_op_command)}), Completion::success) << i;
  }
}

TEST_F(XhciTest, RefusesDevicesThatAreNotThereAndASecondAddressForOne) {
  EXPECT_EQ(driver.address(port + 1), Completion::transaction_error);
  EXPECT_EQ(driver.address(0), Completion::parameter_error);
  EXPECT_EQ(driver.address(200), Completion::parameter_error);
  EXPECT_EQ(driver.address(port), Completion::success);
  EXPECT_EQ(driver.address(port), Completion::parameter_error);
}

TEST_F(XhciTest, TransfersControlDataInBothDirections) {
  configure();
  EXPECT_EQ(driver.request({.request_type = 0xC0, .request = 1, .length = 18}), Completion::success);
  EXPECT_EQ(driver.memory().load<uint8_t>(FakeDriver::kData + 17), 0x5A);
  (void)driver.memory().store(FakeDriver::kData, uint64_t{0x0807060504030201});
  EXPECT_EQ(driver.request({.request_type = 0x40, .request = 2, .value = 7, .length = 8}),
            Completion::success);
  ASSERT_EQ(device->received.size(), 8u);
  EXPECT_EQ(device->received[7], std::byte{8});
  EXPECT_EQ(device->last_setup.value, 7);
}

TEST_F(XhciTest, AStallHaltsTheControlEndpointUntilItIsReset) {
  configure();
  EXPECT_EQ(driver.request({.request_type = 0x40, .request = 0xEE}), Completion::stall);
  EXPECT_EQ(driver.endpoint_state(1), static_cast<uint32_t>(EndpointState::halted));
  EXPECT_EQ(driver.command(FakeDriver::command_trb(TrbType::reset_endpoint, driver.slot, 1)),
            Completion::success);
  EXPECT_EQ(
      driver.command(FakeDriver::command_trb(TrbType::set_dequeue, driver.slot, 1, driver.control.pointer())),
      Completion::success);
  EXPECT_EQ(driver.request({.request_type = 0x40, .request = 1}), Completion::success);
}

TEST_F(XhciTest, MovesATdOfManyScatteredParts) {
  configure();
  constexpr uint32_t kSize = 48 * 1024;
  store(kSize);
  // Pieces of odd sizes at odd addresses, over the ring's end, with an event data TRB last.
  constexpr uint64_t kTarget = 0x200000;
  uint32_t left = kSize, piece = 0;
  uint64_t at = kTarget;
  while (left > 0) {
    const uint32_t size = std::min(left, 100 + piece++ % 7 * 33);
    in.add(normal(at, size, kTrbChain));
    at += size;
    left -= size;
  }
  EXPECT_GT(piece, 200u);
  in.add({.parameter = 0xABCDEF, .control = type_bits(TrbType::event_data) | kIoc});
  driver.ring(driver.slot, kBulkIn);
  const auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::success);
  EXPECT_TRUE(event->control & kTrbEventData);
  EXPECT_EQ(event->parameter, 0xABCDEFu);
  EXPECT_EQ(event->status & 0xFFFFFF, kSize);
  for (uint32_t offset = 0; offset < kSize; offset += 8) {
    ASSERT_EQ(driver.memory().load<uint64_t>(kTarget + offset), uint64_t{offset} * 3);
  }
}

TEST_F(XhciTest, TellsOfAShortPacketWhereItEnded) {
  configure();
  store(96);
  const uint64_t first = in.add(normal(0x200000, 64, kTrbChain | kTrbShortPacket));
  const uint64_t second = in.add(normal(0x200040, 64, kTrbChain | kTrbShortPacket));
  in.add(normal(0x200080, 64, kIoc));
  driver.ring(driver.slot, kBulkIn);
  const auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_NE(event->parameter, first);
  EXPECT_EQ(event->parameter, second);
  EXPECT_EQ(FakeDriver::code(*event), Completion::short_packet);
  EXPECT_EQ(event->status & 0xFFFFFF, 32u);
  EXPECT_FALSE(driver.event(false));
}

TEST_F(XhciTest, SendsImmediateData) {
  configure();
  out.add({.parameter = 0x1122334455667788,
           .status = 8,
           .control = type_bits(TrbType::normal) | kTrbImmediate | kIoc});
  driver.ring(driver.slot, kBulkOut);
  ASSERT_TRUE(driver.event_of(TrbType::transfer_event));
  ASSERT_EQ(device->stored.size(), 8u);
  EXPECT_EQ(device->stored[0], std::byte{0x88});
}

TEST_F(XhciTest, StopsAnEndpointWhoseTransferHasNotBegun) {
  configure();
  hold_a_transfer();
  EXPECT_EQ(driver.command(FakeDriver::command_trb(TrbType::stop_endpoint, driver.slot, kHeldIn)),
            Completion::success);
  EXPECT_EQ(driver.endpoint_state(kHeldIn), static_cast<uint32_t>(EndpointState::stopped));
  EXPECT_EQ(driver.endpoint_dequeue(kHeldIn), held.address() | 1);
  EXPECT_EQ(device->kept, nullptr);
  // A doorbell begins it anew.
  driver.ring(driver.slot, kHeldIn);
  driver.settle();
  EXPECT_NE(device->kept, nullptr);
  complete_held(512);
  const auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::success);
}

TEST_F(XhciTest, AStopWaitsForATransferThatIsUnderWay) {
  configure();
  hold_a_transfer();
  device->busy = true;
  driver.commands().add(FakeDriver::command_trb(TrbType::stop_endpoint, driver.slot, kHeldIn));
  driver.ring(0, 0);
  EXPECT_FALSE(driver.event(false));
  complete_held(512);
  auto event = driver.event();
  ASSERT_TRUE(event);
  EXPECT_EQ(type_of(*event), TrbType::transfer_event);
  event = driver.event();
  ASSERT_TRUE(event);
  EXPECT_EQ(type_of(*event), TrbType::command_completion);
  EXPECT_EQ(FakeDriver::code(*event), Completion::success);
  EXPECT_EQ(driver.endpoint_state(kHeldIn), static_cast<uint32_t>(EndpointState::stopped));
  EXPECT_EQ(driver.endpoint_dequeue(kHeldIn), held.pointer());
}

TEST_F(XhciTest, AResetOfTheControllerWaitsToo) {
  configure();
  hold_a_transfer();
  device->busy = true;
  driver.write(Xhci::kOperational + kUsbCommand, kCommandReset);
  driver.settle();
  EXPECT_TRUE(driver.operational(kUsbCommand) & kCommandReset);
  complete_held(0);
  driver.settle();
  EXPECT_FALSE(driver.operational(kUsbCommand) & kCommandReset);
  EXPECT_TRUE(driver.operational(kUsbStatus) & kStatusHalted);
  EXPECT_TRUE(driver.port(port) & kPortConnectChange);
}

TEST_F(XhciTest, UnpluggingFailsWhatWaits) {
  configure();
  hold_a_transfer();
  std::atomic<bool> done = false;
  driver.xhci().detach(port, [&](const std::shared_ptr<Device>& gone) { done = gone == device; });
  const auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::transaction_error);
  driver.settle();
  EXPECT_TRUE(done);
  EXPECT_EQ(driver.port(port) & (kPortConnected | kPortConnectChange), kPortConnectChange);
  // A device that takes its place is none of the old slot's.
  device = std::make_shared<EchoDevice>();
  EXPECT_EQ(*driver.xhci().attach(device), port);
  out.add(normal(FakeDriver::kData, 8, kIoc));
  driver.ring(driver.slot, kBulkOut);
  const auto failed = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(failed);
  EXPECT_EQ(FakeDriver::code(*failed), Completion::transaction_error);
  EXPECT_EQ(device->submitted, 0u);
}

// Its disk still flushes, say, when the machine is destroyed. What it brings then comes to a strand that
// ends.
class LateDevice final : public EchoDevice {
 public:
  explicit LateDevice(exec::Strand& strand) : strand_(strand) {}
  void pause() override {
    strand_.post_to_thread([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      busy = false;
      if (Transfer* transfer = std::exchange(kept, nullptr)) transfer->complete(Transfer::Status::gone, 0);
    });
  }

 private:
  exec::Strand& strand_;
};

TEST(XhciEndTest, EndsWithADeviceThatWasPulledOutAndIsStillBusy) {
  std::atomic<unsigned> told = 0;
  {
    FakeDriver driver;
    auto device = std::make_shared<LateDevice>(driver.xhci().strand());
    const unsigned port = *driver.xhci().attach(device);
    driver.run();
    ASSERT_EQ(driver.address(port), Completion::success);
    ASSERT_EQ(driver.configure({kHeldIn}), Completion::success);
    Ring held = driver.new_ring(kHeldIn);
    held.add(normal(FakeDriver::kData, 512, kIoc));
    driver.ring(driver.slot, kHeldIn);
    driver.settle();
    device->busy = true;
    driver.xhci().detach(port, [&](const std::shared_ptr<Device>& gone) { told += gone ? 1 : 100; });
    driver.settle();
    EXPECT_EQ(told, 0u);
  }
  EXPECT_EQ(told, 1u);
}

TEST_F(XhciTest, PlugsInUntilNoPortIsFree) {
  for (unsigned count = 1; count < Xhci::kSuperPorts; ++count) {
    EXPECT_TRUE(driver.xhci().attach(std::make_shared<EchoDevice>()));
  }
  EXPECT_FALSE(driver.xhci().attach(std::make_shared<EchoDevice>()));
}

// What no driver does.

TEST_F(XhciTest, ARingWithoutEndStopsItsEndpoint) {
  configure();
  // A link to itself.
  (void)driver.memory().store(in.address(),
                              Trb{.parameter = in.address(), .control = type_bits(TrbType::link) | 1});
  driver.ring(driver.slot, kBulkIn);
  auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::trb_error);
  EXPECT_EQ(driver.endpoint_state(kBulkIn), static_cast<uint32_t>(EndpointState::error));
  // A TD whose last TRB is chained to its first.
  (void)driver.memory().store(out.address(), normal(FakeDriver::kData, 8, kTrbChain | 1));
  (void)driver.memory().store(out.address() + 16,
                              Trb{.parameter = out.address(), .control = type_bits(TrbType::link) | 1});
  driver.ring(driver.slot, kBulkOut);
  event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::trb_error);
}

TEST_F(XhciTest, ARingOfTdsWithoutEndLeavesOthersTheirTurn) {
  configure();
  (void)driver.memory().store(out.address(), normal(FakeDriver::kData, 8, 1));
  (void)driver.memory().store(out.address() + 16,
                              Trb{.parameter = out.address(), .control = type_bits(TrbType::link) | 1});
  driver.ring(driver.slot, kBulkOut);
  EXPECT_EQ(driver.command({.control = type_bits(TrbType::no_op_command)}), Completion::success);
  EXPECT_EQ(driver.command(FakeDriver::command_trb(TrbType::stop_endpoint, driver.slot, kBulkOut)),
            Completion::success);
}

TEST_F(XhciTest, MemoryThatIsReadOnlyIsNotWritten) {
  configure();
  store(64);
  out.add(normal(FakeDriver::kReadOnly, 64, kIoc));
  driver.ring(driver.slot, kBulkOut);
  auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::success);
  store(64);
  in.add(normal(FakeDriver::kReadOnly, 64, kIoc));
  driver.ring(driver.slot, kBulkIn);
  event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::trb_error);
  EXPECT_EQ(driver.memory().load<uint64_t>(FakeDriver::kReadOnly + 8), uint64_t{0});
}

TEST_F(XhciTest, RingsAndBuffersBeyondMemory) {
  configure();
  out.add(normal(FakeDriver::kMemorySize - 4, 8, kIoc));
  driver.ring(driver.slot, kBulkOut);
  auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::trb_error);
  // A ring that runs over memory's end.
  driver.clear_input(1u << 4 | 1);
  driver.put_input(0, {31u << 27, 1u << 16});
  driver.put_input(4, {0, 2u << 3 | 1024u << 16, static_cast<uint32_t>(FakeDriver::kMemorySize - 16) | 1, 0});
  (void)driver.memory().store(FakeDriver::kMemorySize - 16, normal(FakeDriver::kData, 8, kTrbChain | 1));
  EXPECT_EQ(driver.command(
                FakeDriver::command_trb(TrbType::configure_endpoint, driver.slot, 0, FakeDriver::kInput)),
            Completion::success);
  driver.ring(driver.slot, 4);
  event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::trb_error);
  // Contexts that are not in memory.
  EXPECT_EQ(
      driver.command(FakeDriver::command_trb(TrbType::configure_endpoint, driver.slot, 0, ~uint64_t{0xF})),
      Completion::trb_error);
}

TEST_F(XhciTest, RefusesEndpointsOfTheWrongKind) {
  ASSERT_EQ(driver.address(port), Completion::success);
  for (const uint32_t type : {0u, 1u, 4u, 5u, 6u}) {
    driver.clear_input(1u << 2 | 1);
    driver.put_input(2, {0, type << 3, static_cast<uint32_t>(FakeDriver::ring_address(2)) | 1, 0});
    EXPECT_EQ(driver.command(
                  FakeDriver::command_trb(TrbType::configure_endpoint, driver.slot, 0, FakeDriver::kInput)),
              Completion::parameter_error);
  }
}

TEST_F(XhciTest, AFullEventRingLosesNothing) {
  FakeDriver small;
  small.run(16);
  for (int i = 0; i < 100; ++i) small.commands().add({.control = type_bits(TrbType::no_op_command)});
  small.ring(0, 0);
  for (int i = 0; i < 100; ++i) {
    const auto event = small.event();
    ASSERT_TRUE(event) << i;
    ASSERT_EQ(type_of(*event), TrbType::command_completion);
    ASSERT_EQ(event->parameter, FakeDriver::kCommandRing + static_cast<uint64_t>(i) * 16);
    if (i % 5 == 4) small.acknowledge();
  }
}

// Commands are not begun while events wait, but each doorbell lets the ring run, and each stop tells of
// itself.
TEST_F(XhciTest, EventsThatNobodyTakesTakeNoMemoryWithoutEnd) {
  for (int i = 0; i < 70'000; ++i) {
    driver.write(Xhci::kDoorbells, 0);
    driver.write(Xhci::kOperational + kCommandRing, kRingStop);
  }
  EXPECT_TRUE(driver.operational(kUsbStatus) & kStatusControllerError);
}

TEST_F(XhciTest, AnEventRingThatIsNotMemoryIsTheControllersEnd) {
  FakeDriver other;
  (void)other.memory().store(FakeDriver::kEventTable, ~uint64_t{0x3F});
  other.run();
  (void)other.memory().store(FakeDriver::kEventTable, ~uint64_t{0x3F});
  other.ring(0, 0);
  other.commands().add({.control = type_bits(TrbType::no_op_command)});
  other.ring(0, 0);
  other.settle();
  EXPECT_TRUE(other.operational(kUsbStatus) & kStatusControllerError);
}

TEST_F(XhciTest, UsesStreams) {
  ASSERT_EQ(driver.address(port), Completion::success);
  constexpr uint64_t kArray = 0x60000, kStreamRing = 0x61000;
  (void)driver.memory().store(kArray + 16 * 3, kStreamRing | 1 << 1 | 1);
  driver.clear_input(1u << kBulkOut | 1);
  driver.put_input(0, {31u << 27, 1u << 16});
  driver.put_input(kBulkOut, {1u << 15 | 2u << 10, 2u << 3 | 1024u << 16, kArray, 0});
  ASSERT_EQ(driver.command(
                FakeDriver::command_trb(TrbType::configure_endpoint, driver.slot, 0, FakeDriver::kInput)),
            Completion::success);
  Ring stream(driver.memory(), kStreamRing);
  stream.add(normal(FakeDriver::kData, 8, kIoc));
  driver.ring(driver.slot, kBulkOut | 3u << 16);
  auto event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::success);
  EXPECT_EQ(device->last_stream, 3u);
  driver.ring(driver.slot, kBulkOut | 4u << 16);  // No ring there.
  event = driver.event_of(TrbType::transfer_event);
  ASSERT_TRUE(event);
  EXPECT_EQ(FakeDriver::code(*event), Completion::invalid_stream_id);
}

}  // namespace
}  // namespace alcove::usb
