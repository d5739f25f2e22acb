#include "devices/hid/hid.h"

#include <gtest/gtest.h>

#include <cstring>

#include "devices/hid/keyboard.h"
#include "devices/hid/pointer.h"

namespace alcove::devices::hid {
namespace {

using namespace spec::hid;
using Status = usb::Transfer::Status;

struct HostTransfer final : usb::Transfer {
  explicit HostTransfer(size_t size) : bytes(size) {
    endpoint_ = 0x81;
    size_ = size;
    buffers_.push_back({.iov_base = bytes.data(), .iov_len = size});
  }
  void complete(Status how, uint64_t size) override {
    status = how;
    transferred = size;
  }
  unsigned at(size_t index) const { return std::to_integer<unsigned>(bytes.at(index)); }
  Bytes bytes;
  std::optional<Status> status;
  uint64_t transferred = 0;
};

struct HidTest : ::testing::Test {
  HidTest() {
    for (Hid* device : {static_cast<Hid*>(&keyboard), static_cast<Hid*>(&pointer)}) {
      request(*device, {.request = spec::usb::kSetConfiguration, .value = 1});
    }
  }
  std::optional<Bytes> request(Hid& device, const spec::usb::SetupPacket& setup, const Bytes& data = {}) {
    std::optional<Bytes> answer;
    loop.loop().call([&] { answer = device.control(setup, data); });
    return answer;
  }
  void settle() {
    for (int i = 0; i < 2; ++i) loop.loop().call([] {});
  }
  HostTransfer poll(Hid& device) {
    HostTransfer transfer(8);
    loop.loop().call([&] {
      device.submit(transfer);
      if (!transfer.status) device.cancel(transfer);
    });
    return transfer;
  }
  exec::LoopThread loop{"test"};
  Keyboard keyboard{loop.loop()};
  Pointer pointer{loop.loop()};
};

TEST_F(HidTest, KeysComeInTheirOrder) {
  EXPECT_FALSE(keyboard.is_ready());
  EXPECT_FALSE(poll(keyboard).status);
  EXPECT_TRUE(keyboard.is_ready());
  keyboard.key({Key::left_shift, true});
  keyboard.key({Key::a, true});
  keyboard.key({Key::a, false});
  settle();
  HostTransfer report = poll(keyboard);
  EXPECT_EQ(report.status, Status::success);
  EXPECT_EQ(report.transferred, 8u);
  EXPECT_EQ(report.at(0), 2u);
  EXPECT_EQ(report.at(2), 0u);
  EXPECT_EQ(poll(keyboard).at(2), 4u);
  EXPECT_EQ(poll(keyboard).at(2), 0u);
  EXPECT_FALSE(poll(keyboard).status);
}

TEST_F(HidTest, AWaitingTransferTakesTheNextKey) {
  HostTransfer transfer(8);
  loop.loop().call([&] { keyboard.submit(transfer); });
  keyboard.key({Key::enter, true});
  settle();
  EXPECT_EQ(transfer.status, Status::success);
  EXPECT_EQ(transfer.at(2), 0x28u);
}

TEST_F(HidTest, TooManyKeysAreToldAsSuch) {
  for (uint16_t usage = 4; usage < 11; ++usage) keyboard.key({static_cast<Key>(usage), true});
  settle();
  HostTransfer last(8);
  for (int i = 0; i < 7; ++i) last = poll(keyboard);
  for (size_t index = 2; index < 8; ++index) EXPECT_EQ(last.at(index), 1u);
  keyboard.key({static_cast<Key>(10), false});
  settle();
  EXPECT_EQ(poll(keyboard).at(7), 9u);
}

TEST_F(HidTest, AGuestThatBeginsAnewKnowsOfNoKeys) {
  poll(keyboard);
  keyboard.key({Key::a, true});
  settle();
  loop.loop().call([&] { keyboard.reset(); });
  EXPECT_FALSE(keyboard.is_ready());
  request(keyboard, {.request = spec::usb::kSetConfiguration, .value = 1});
  EXPECT_FALSE(poll(keyboard).status);
}

TEST_F(HidTest, LampsAndRequests) {
  EXPECT_TRUE(request(keyboard, {.request_type = 0x21, .request = kSetReport, .value = 0x0200, .length = 1},
                      {std::byte{2}}));
  EXPECT_EQ(keyboard.leds(), 2u);
  const auto descriptor = request(
      keyboard, {.request_type = 0x81, .request = spec::usb::kGetDescriptor, .value = kReportType << 8});
  ASSERT_TRUE(descriptor);
  const auto hid =
      request(keyboard, {.request_type = 0x81, .request = spec::usb::kGetDescriptor, .value = kHidType << 8});
  ASSERT_TRUE(hid);
  EXPECT_EQ(std::to_integer<size_t>((*hid)[7]), descriptor->size());
  EXPECT_TRUE(request(keyboard, {.request_type = 0x21, .request = kSetProtocol, .value = kProtocolBoot}));
  EXPECT_EQ(request(keyboard, {.request_type = 0xA1, .request = kGetProtocol}),
            Bytes{std::byte{kProtocolBoot}});
  EXPECT_FALSE(request(keyboard, {.request_type = 0x21, .request = kSetProtocol, .value = 2}));
  EXPECT_FALSE(request(keyboard, {.request_type = 0xA1, .request = 0x42}));
}

TEST_F(HidTest, PositionsButtonsAndWheels) {
  poll(pointer);
  pointer.pointer({.x = 1, .y = 0.5, .buttons = {.right = true}, .wheel_x = -1, .wheel_y = 2.5});
  settle();
  HostTransfer report = poll(pointer);
  EXPECT_EQ(report.transferred, 7u);
  EXPECT_EQ(report.at(0), 2u);
  EXPECT_EQ(report.at(1) | report.at(2) << 8, 0x7FFFu);
  EXPECT_EQ(report.at(3) | report.at(4) << 8, 0x4000u);
  EXPECT_EQ(report.at(5), 2u);
  EXPECT_EQ(report.at(6), 0xFFu);
  EXPECT_FALSE(poll(pointer).status);
  // Half a notch is kept until there is a whole one.
  pointer.pointer({.x = 0, .y = 0, .wheel_y = 0.5});
  settle();
  EXPECT_EQ(poll(pointer).at(5), 1u);
}

}  // namespace
}  // namespace alcove::devices::hid
