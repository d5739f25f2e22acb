#include "devices/input/input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/input.h>

#include <cstring>

#include "devices/input/keyboard.h"
#include "devices/input/pointer.h"
#include "devices/input/trackpad.h"
#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::input {
namespace {

namespace wire = spec::virtio_input;
using ::testing::ElementsAre;
using virtio::testing::Bytes;
using virtio::testing::FakeGuest;

struct Told {
  uint16_t type, code;
  int32_t value;
  bool operator==(const Told&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Told& told) {
  return out << told.type << ":" << told.code << "=" << told.value;
}
constexpr Told kEnd{EV_SYN, SYN_REPORT, 0};

// A driver that gives one buffer for each event.
template <class Device>
struct Driver {
  template <class... Arguments>
  explicit Driver(Arguments... arguments) : device(loop.loop(), arguments...) {
    guest.activate(device, 0);
  }
  ~Driver() { guest.reset(); }

  void give(unsigned buffers, uint32_t size = sizeof(Event)) {
    for (unsigned i = 0; i < buffers; ++i) heads.push_back(guest.queue(0).add({.writable = {size}}));
    guest.queue(0).notify();
  }
  // The next `count` events.
  std::vector<Told> take(size_t count) {
    std::vector<Told> events;
    while (events.size() < count) {
      const auto used = guest.queue(0).wait();
      if (!used) break;
      const auto placed = std::ranges::find(heads, used->id, [](const auto& head) { return head.head; });
      const Bytes bytes = guest.queue(0).bytes(placed->writable[0], sizeof(Event));
      heads.erase(placed);
      Event event;
      std::memcpy(&event, bytes.data(), sizeof event);
      events.push_back({event.type, event.code, static_cast<int32_t>(event.value)});
    }
    return events;
  }
  // What the configuration answers.
  Bytes ask(uint8_t select, uint8_t sub_selection = 0) {
    const std::byte selection[] = {std::byte{select}, std::byte{sub_selection}};
    device.write_config(0, std::span(selection));
    wire::Configuration configuration;
    device.read_config(0, std::as_writable_bytes(std::span(&configuration, 1)));
    EXPECT_LE(configuration.size, wire::kDataSize);
    const auto* data = reinterpret_cast<const std::byte*>(configuration.data);
    return {data, data + configuration.size};
  }
  bool has(uint16_t type, uint16_t code) {
    const Bytes bits = ask(wire::kSelectEvents, static_cast<uint8_t>(type));
    return code / 8 < bits.size() && (bits[code / 8] & std::byte(1 << code % 8)) != std::byte{};
  }
  AxisInformation axis(uint8_t code) {
    const Bytes bytes = ask(wire::kSelectAxis, code);
    AxisInformation axis{};
    if (bytes.size() == sizeof axis) std::memcpy(&axis, bytes.data(), sizeof axis);
    return axis;
  }

  exec::LoopThread loop{"test"};
  Device device;
  FakeGuest guest;
  std::vector<virtio::testing::Placed> heads;
};

TEST(VirtioKeyboard, TellsItsKeys) {
  Driver<Keyboard> driver;
  EXPECT_EQ(driver.device.device_id(), 18);
  const Bytes name = driver.ask(wire::kSelectName);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(name.data()), name.size()), "Alcove Virtio Keyboard");
  EXPECT_EQ(driver.ask(wire::kSelectIds).size(), sizeof(wire::Ids));
  for (const uint16_t code :
       {KEY_A, KEY_Z, KEY_0, KEY_F12, KEY_F24, KEY_RIGHTMETA, KEY_VOLUMEDOWN, KEY_102ND})
    EXPECT_TRUE(driver.has(EV_KEY, code)) << code;
  EXPECT_FALSE(driver.has(EV_KEY, 0));
  EXPECT_FALSE(driver.has(EV_KEY, BTN_LEFT));
  EXPECT_FALSE(driver.ask(wire::kSelectEvents, EV_REP).empty());
  EXPECT_TRUE(driver.ask(wire::kSelectEvents, EV_ABS).empty());
  EXPECT_TRUE(driver.ask(wire::kSelectProperties).empty());
  for (unsigned select = 0; select < 256; ++select) {
    for (const unsigned sub : {0u, 1u, 3u, 20u, 255u})
      driver.ask(static_cast<uint8_t>(select), static_cast<uint8_t>(sub));
  }
}

TEST(VirtioKeyboard, TypesIntoBuffersAsTheyCome) {
  Driver<Keyboard> driver;
  EXPECT_TRUE(driver.device.is_ready());
  driver.device.key({Key::a, true});
  driver.device.key({Key::a, true});
  driver.device.key({Key::a, false});
  driver.device.key({static_cast<Key>(0x82), true});  // A key that Linux does not know.
  driver.give(3);
  EXPECT_THAT(driver.take(3), ElementsAre(Told{EV_KEY, KEY_A, 1}, kEnd, Told{EV_KEY, KEY_A, 0}));
  driver.give(2);
  EXPECT_THAT(driver.take(1), ElementsAre(kEnd));
  driver.device.key({Key::right_alt, true});
  driver.give(1);
  EXPECT_THAT(driver.take(2), ElementsAre(Told{EV_KEY, KEY_RIGHTALT, 1}, kEnd));
}

TEST(VirtioKeyboard, ANewDriverFindsNothingPressed) {
  Driver<Keyboard> driver;
  driver.device.key({Key::a, true});
  driver.guest.reset();
  EXPECT_FALSE(driver.device.is_ready());
  driver.heads.clear();
  driver.guest.activate(driver.device, 0);
  driver.device.key({Key::a, false});
  driver.device.key({Key::b, true});
  driver.give(4);
  EXPECT_THAT(driver.take(2), ElementsAre(Told{EV_KEY, KEY_B, 1}, kEnd));
}

TEST(VirtioKeyboard, PauseHoldsBack) {
  Driver<Keyboard> driver;
  driver.device.pause();
  driver.give(2);
  driver.device.key({Key::a, true});
  EXPECT_FALSE(driver.guest.queue(0).wait(std::chrono::milliseconds(30)));
  driver.device.resume();
  EXPECT_THAT(driver.take(2), ElementsAre(Told{EV_KEY, KEY_A, 1}, kEnd));
}

TEST(VirtioKeyboard, SmallBuffersBreakTheQueue) {
  Driver<Keyboard> driver;
  driver.give(1, sizeof(Event) - 1);
  driver.device.key({Key::a, true});
  EXPECT_TRUE(
      driver.guest.interrupts().wait([&] { return driver.guest.interrupts().needs_reset_count() == 1; }));
  driver.device.key({Key::b, true});
}

TEST(VirtioKeyboard, StatusIsGivenBack) {
  Driver<Keyboard> driver;
  for (const size_t size : {size_t{0}, sizeof(Event), size_t{4096}}) {
    const auto reply = size ? driver.guest.queue(1).request({.readable = {Bytes(size)}})
                            : driver.guest.queue(1).request({.writable = {8}});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->length, 0u);
  }
}

TEST(VirtioPointer, TellsPositionsButtonsAndWheels) {
  Driver<Pointer> driver;
  EXPECT_EQ(driver.axis(ABS_X).maximum, 32767u);
  EXPECT_TRUE(driver.has(EV_REL, REL_WHEEL_HI_RES));
  driver.give(30);
  driver.device.pointer({.x = 1, .y = 0.5, .buttons = {.left = true}});
  EXPECT_THAT(driver.take(4), ElementsAre(Told{EV_ABS, ABS_X, 32767}, Told{EV_ABS, ABS_Y, 16384},
                                          Told{EV_KEY, BTN_LEFT, 1}, kEnd));
  driver.device.pointer({.x = 1, .y = 0.5, .buttons = {.left = true}});  // Nothing new.
  driver.device.pointer({.x = 1, .y = 0.5});
  EXPECT_THAT(driver.take(2), ElementsAre(Told{EV_KEY, BTN_LEFT, 0}, kEnd));
  driver.device.pointer({.x = 1, .y = 0.5, .wheel_y = 0.4});
  EXPECT_THAT(driver.take(2), ElementsAre(Told{EV_REL, REL_WHEEL_HI_RES, 48}, kEnd));
  driver.device.pointer({.x = 1, .y = 0.5, .wheel_x = -1, .wheel_y = 0.6});
  EXPECT_THAT(driver.take(5),
              ElementsAre(Told{EV_REL, REL_HWHEEL_HI_RES, -120}, Told{EV_REL, REL_HWHEEL, -1},
                          Told{EV_REL, REL_WHEEL_HI_RES, 72}, Told{EV_REL, REL_WHEEL, 1}, kEnd));
}

TEST(VirtioTrackpad, IsATouchpadOfItsSize) {
  Driver<Trackpad> driver(uint16_t{160}, uint16_t{110});
  EXPECT_EQ(driver.axis(ABS_MT_POSITION_X).maximum / driver.axis(ABS_MT_POSITION_X).resolution, 160u);
  EXPECT_EQ(driver.axis(ABS_Y).maximum / driver.axis(ABS_Y).resolution, 110u);
  EXPECT_EQ(driver.axis(ABS_MT_SLOT).maximum, 4u);
  for (const uint16_t code : {BTN_LEFT, BTN_TOUCH, BTN_TOOL_FINGER, BTN_TOOL_DOUBLETAP, BTN_TOOL_QUINTTAP})
    EXPECT_TRUE(driver.has(EV_KEY, code)) << code;
  EXPECT_EQ(driver.ask(wire::kSelectProperties)[0],
            std::byte(1 << INPUT_PROP_POINTER | 1 << INPUT_PROP_BUTTONPAD));
}

TEST(VirtioTrackpad, FingersHaveSlots) {
  Driver<Trackpad> driver(uint16_t{100}, uint16_t{50});
  driver.give(60);
  driver.device.touch({.contacts = {{.id = 7, .x = 0.5, .y = 0.5}}});
  EXPECT_THAT(driver.take(8),
              ElementsAre(Told{EV_ABS, ABS_MT_TRACKING_ID, 0}, Told{EV_ABS, ABS_MT_POSITION_X, 2000},
                          Told{EV_ABS, ABS_MT_POSITION_Y, 1000}, Told{EV_KEY, BTN_TOUCH, 1},
                          Told{EV_KEY, BTN_TOOL_FINGER, 1}, Told{EV_ABS, ABS_X, 2000},
                          Told{EV_ABS, ABS_Y, 1000}, kEnd));
  driver.device.touch(
      {.contacts = {{.id = 7, .x = 0.5, .y = 0.6}, {.id = 3, .x = 0, .y = 1}}, .pressed = true});
  EXPECT_THAT(driver.take(10),
              ElementsAre(Told{EV_ABS, ABS_MT_SLOT, 1}, Told{EV_ABS, ABS_MT_TRACKING_ID, 1},
                          Told{EV_ABS, ABS_MT_POSITION_X, 0}, Told{EV_ABS, ABS_MT_POSITION_Y, 2000},
                          Told{EV_ABS, ABS_MT_SLOT, 0}, Told{EV_ABS, ABS_MT_POSITION_Y, 1200},
                          Told{EV_KEY, BTN_TOOL_FINGER, 0}, Told{EV_KEY, BTN_TOOL_DOUBLETAP, 1},
                          Told{EV_ABS, ABS_Y, 1200}, Told{EV_KEY, BTN_LEFT, 1}));
  EXPECT_THAT(driver.take(1), ElementsAre(kEnd));
  driver.device.touch({.contacts = {{.id = 3, .x = 0, .y = 1}}});
  EXPECT_THAT(driver.take(7),
              ElementsAre(Told{EV_ABS, ABS_MT_TRACKING_ID, -1}, Told{EV_KEY, BTN_TOOL_DOUBLETAP, 0},
                          Told{EV_KEY, BTN_TOOL_FINGER, 1}, Told{EV_ABS, ABS_X, 0}, Told{EV_ABS, ABS_Y, 2000},
                          Told{EV_KEY, BTN_LEFT, 0}, kEnd));
  driver.device.touch({});
  EXPECT_THAT(driver.take(5),
              ElementsAre(Told{EV_ABS, ABS_MT_SLOT, 1}, Told{EV_ABS, ABS_MT_TRACKING_ID, -1},
                          Told{EV_KEY, BTN_TOUCH, 0}, Told{EV_KEY, BTN_TOOL_FINGER, 0}, kEnd));
}

}  // namespace
}  // namespace alcove::devices::input
