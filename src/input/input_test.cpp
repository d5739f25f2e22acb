#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include <cmath>
#include <limits>
#include <random>

#include "input/linux_codes.h"
#include "input/queues.h"
#include "input/router.h"

namespace alcove::input {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Keys, NamesLeadBack) {
  size_t named = 0;
  for (unsigned usage = 0; usage < 0x100; ++usage) {
    const auto key = static_cast<Key>(usage);
    if (to_string(key).empty()) continue;
    ++named;
    EXPECT_EQ(key_from_string(to_string(key)), key) << to_string(key);
  }
  EXPECT_GT(named, 120u);
  EXPECT_EQ(key_from_string("F12"), Key::f12);
  EXPECT_EQ(key_from_string("keypad_0"), Key::keypad_0);
  EXPECT_EQ(key_from_string("0"), Key::digit_0);
  EXPECT_EQ(static_cast<unsigned>(Key::application), 0x65u);
  EXPECT_EQ(static_cast<unsigned>(Key::volume_down), 0x81u);
  EXPECT_EQ(static_cast<unsigned>(Key::right_meta), 0xe7u);
  EXPECT_FALSE(key_from_string(""));
  EXPECT_FALSE(key_from_string("a b"));
}

TEST(Keys, CombinationsAreReleasedInReverse) {
  const auto events = parse_key_combination("ctrl-Alt-f2");
  ASSERT_TRUE(events);
  EXPECT_THAT(*events, ElementsAre(KeyEvent{Key::left_control, true}, KeyEvent{Key::left_alt, true},
                                   KeyEvent{Key::f2, true}, KeyEvent{Key::f2, false},
                                   KeyEvent{Key::left_alt, false}, KeyEvent{Key::left_control, false}));
  for (const char* wrong : {"", "-", "ctrl-", "ctrl--a", "nosuch"})
    EXPECT_FALSE(parse_key_combination(wrong));
}

TEST(Keys, TextIsTypedOnAUSKeyboard) {
  const auto events = key_events_for_text("a?\n");
  ASSERT_TRUE(events);
  EXPECT_THAT(*events, ElementsAre(KeyEvent{Key::a, true}, KeyEvent{Key::a, false},
                                   KeyEvent{Key::left_shift, true}, KeyEvent{Key::slash, true},
                                   KeyEvent{Key::slash, false}, KeyEvent{Key::left_shift, false},
                                   KeyEvent{Key::enter, true}, KeyEvent{Key::enter, false}));
  std::string all;
  for (char character = ' '; character <= '~'; ++character) all += character;
  const auto typed = key_events_for_text(all);
  ASSERT_TRUE(typed);
  // 26 letters and 21 signs need the shift key.
  EXPECT_EQ(typed->size(), 2 * all.size() + 2 * (26 + 21));
  EXPECT_FALSE(key_events_for_text("\xc3\xa4"));
}

TEST(KeyQueue, KeepsTheOrder) {
  KeyQueue queue;
  EXPECT_TRUE(queue.push({Key::a, true}));
  EXPECT_FALSE(queue.push({Key::a, true}));   // The host's repetition.
  EXPECT_FALSE(queue.push({Key::b, false}));  // Not pressed.
  EXPECT_FALSE(queue.push({static_cast<Key>(256), true}));
  EXPECT_TRUE(queue.push({Key::a, false}));
  EXPECT_EQ(queue.pop(), (KeyEvent{Key::a, true}));
  EXPECT_EQ(queue.pop(), (KeyEvent{Key::a, false}));
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(KeyQueue, IsBoundedAndLeavesNothingDown) {
  KeyQueue queue;
  std::mt19937 random(1);
  size_t taken = 0;
  for (unsigned i = 0; i < 100000; ++i)
    taken += queue.push({static_cast<Key>(4 + random() % 40), random() % 2 == 0});
  for (unsigned usage = 0; usage < 256; ++usage) queue.push({static_cast<Key>(usage), false});
  EXPECT_LE(taken, 2 * KeyQueue::kMostPresses);
  std::bitset<256> down;
  while (const auto event = queue.pop()) {
    EXPECT_NE(down[static_cast<size_t>(event->key)], event->pressed);
    down[static_cast<size_t>(event->key)] = event->pressed;
  }
  EXPECT_TRUE(down.none());
}

TEST(PointerQueue, MotionReplacesMotionAndWheelsAddUp) {
  PointerQueue queue;
  queue.push({.x = 0.1, .wheel_y = 0.25});
  queue.push({.x = 0.2, .wheel_y = 0.25});
  queue.push({.x = 0.2, .buttons = {.left = true}});
  queue.push({.x = 0.3, .buttons = {.left = true}});
  queue.push({.x = 0.3});
  EXPECT_EQ(queue.pop(), (PointerEvent{.x = 0.2, .wheel_y = 0.5}));
  EXPECT_EQ(queue.pop(), (PointerEvent{.x = 0.3, .buttons = {.left = true}}));
  EXPECT_EQ(queue.pop(), (PointerEvent{.x = 0.3}));
  EXPECT_TRUE(queue.empty());
}

TEST(PointerQueue, IsBoundedAndEndsWithTheLastButtons) {
  PointerQueue queue;
  for (unsigned i = 0; i < 1001; ++i) queue.push({.buttons = {.left = i % 2 == 0}});
  size_t count = 0;
  PointerEvent last;
  while (const auto event = queue.pop()) ++count, last = *event;
  EXPECT_LE(count, PointerQueue::kMost);
  EXPECT_TRUE(last.buttons.left);
}

TEST(TouchQueue, KeepsWhereFingersCameDown) {
  TouchQueue queue;
  for (int step = 0; step <= 10; ++step) queue.push({.contacts = {{.id = 1, .x = step / 10.0}}});
  queue.push({});
  EXPECT_EQ(queue.pop()->contacts[0].x, 0);
  EXPECT_EQ(queue.pop()->contacts[0].x, 1);
  EXPECT_THAT(queue.pop()->contacts, IsEmpty());
  EXPECT_FALSE(queue.pop());
}

TEST(TouchQueue, IsBoundedAndEndsWithTheLastFingers) {
  TouchQueue queue;
  for (uint32_t id = 0; id < 1000; ++id) queue.push({.contacts = {{.id = id}}});
  queue.push({});
  size_t count = 0;
  TouchEvent last;
  while (auto event = queue.pop()) ++count, last = *event;
  EXPECT_LE(count, TouchQueue::kMost);
  EXPECT_THAT(last.contacts, IsEmpty());
}

double distance(const TouchEvent& event, double width, double height) {
  return std::hypot((event.contacts[0].x - event.contacts[1].x) * width,
                    (event.contacts[0].y - event.contacts[1].y) * height);
}

TEST(GestureFingers, Pinch) {
  GestureFingers fingers(160, 100);
  EXPECT_FALSE(fingers.apply({.phase = GesturePhase::update, .magnification = 0.1}));
  const auto begin = fingers.apply({.phase = GesturePhase::begin, .fingers = 2});
  ASSERT_EQ(begin->contacts.size(), 2u);
  const auto larger = fingers.apply({.magnification = 0.25});
  EXPECT_NEAR(distance(*larger, 160, 100) / distance(*begin, 160, 100), 1.25, 1e-9);
  EXPECT_EQ(larger->contacts[0].id, begin->contacts[0].id);
  const auto turned = fingers.apply({.rotation = 30});
  EXPECT_NEAR(distance(*turned, 160, 100), distance(*larger, 160, 100), 1e-9);
  const double dx = (turned->contacts[0].x - turned->contacts[1].x) * 160;
  const double dy = (turned->contacts[0].y - turned->contacts[1].y) * 100;
  EXPECT_NEAR(std::atan2(dy, dx) * 180 / M_PI, 30, 1e-9);  // y points down: clockwise.
  EXPECT_THAT(fingers.apply({.phase = GesturePhase::end})->contacts, IsEmpty());
}

TEST(GestureFingers, StayOnTheSurface) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> step(-60, 60);
  for (unsigned count : {0u, 2u, 3u, 5u, 77u}) {
    GestureFingers fingers(40, 30);
    fingers.apply({.phase = GesturePhase::begin, .fingers = count});
    for (int i = 0; i < 200; ++i) {
      const auto event = fingers.apply({.dx = step(random),
                                        .dy = step(random),
                                        .magnification = step(random) / 30,
                                        .rotation = step(random)});
      ASSERT_TRUE(event);
      EXPECT_LE(event->contacts.size(), kMostContacts);
      for (const TouchContact& contact : event->contacts) {
        EXPECT_TRUE(contact.x > 0 && contact.x < 1 && contact.y > 0 && contact.y < 1);
      }
    }
    EXPECT_FALSE(fingers.apply({.dx = std::numeric_limits<double>::infinity()}));
    EXPECT_FALSE(fingers.apply({.rotation = std::nan("")}));
  }
}

struct FakeKeyboard final : KeyboardSink {
  bool is_ready() const override { return ready; }
  void key(const KeyEvent& event) override { events.push_back(event); }
  bool ready = true;
  std::vector<KeyEvent> events;
};

struct FakePointer final : PointerSink {
  bool is_ready() const override { return ready; }
  void pointer(const PointerEvent& event) override { events.push_back(event); }
  bool ready = true;
  std::vector<PointerEvent> events;
};

struct FakeTrackpad final : TrackpadSink {
  bool is_ready() const override { return ready; }
  void touch(const TouchEvent& event) override { events.push_back(event); }
  double width() const override { return 100; }
  double height() const override { return 80; }
  bool ready = true;
  std::vector<TouchEvent> events;
};

TEST(Router, TakesTheFirstThatIsReadyAndReleasesWhereItPressed) {
  Router router;
  FakeKeyboard first, second;
  router.add(first);
  router.add(second);
  first.ready = false;
  router.send(KeyEvent{Key::a, true});
  first.ready = true;
  router.send(KeyEvent{Key::b, true});
  router.send(KeyEvent{Key::a, false});
  router.send(KeyEvent{Key::b, false});
  router.send(KeyEvent{Key::c, false});
  EXPECT_THAT(first.events, ElementsAre(KeyEvent{Key::b, true}, KeyEvent{Key::b, false}));
  EXPECT_THAT(second.events, ElementsAre(KeyEvent{Key::a, true}, KeyEvent{Key::a, false}));
}

TEST(Router, DropsWhatNobodyTakes) {
  Router router;
  FakePointer pointer;
  router.send(KeyEvent{Key::a, true});
  router.send(PointerEvent{});
  router.send(TouchEvent{.contacts = {{}}});
  router.send(GestureEvent{.phase = GesturePhase::begin});
  pointer.ready = false;
  router.add(pointer);
  router.send(PointerEvent{.buttons = {.left = true}});
  pointer.ready = true;
  EXPECT_THAT(pointer.events, IsEmpty());
}

TEST(Router, Distrusts) {
  Router router;
  FakePointer pointer;
  FakeTrackpad pad;
  router.add(pointer);
  router.add(pad);
  router.send(PointerEvent{.x = -3, .y = std::nan(""), .wheel_x = std::nan(""), .wheel_y = 1e300});
  ASSERT_EQ(pointer.events.size(), 1u);
  EXPECT_EQ(pointer.events[0].x, 0);
  EXPECT_EQ(pointer.events[0].y, 0);
  EXPECT_EQ(pointer.events[0].wheel_x, 0);
  EXPECT_EQ(pointer.events[0].wheel_y, 1000);
  TouchEvent many;
  for (uint32_t id = 0; id < 20; ++id) many.contacts.push_back({.id = id / 2, .x = 7, .y = -7});
  router.send(many);
  ASSERT_EQ(pad.events.size(), 1u);
  EXPECT_EQ(pad.events[0].contacts.size(), kMostContacts);
  EXPECT_EQ(pad.events[0].contacts[4], (TouchContact{.id = 4, .x = 1, .y = 0}));
  router.send(KeyEvent{static_cast<Key>(0xffff), true});
}

TEST(LinuxCodes, LeadBothWays) {
  EXPECT_EQ(linux_code(Key::a), KEY_A);
  EXPECT_EQ(linux_code(Key::right_meta), KEY_RIGHTMETA);
  EXPECT_EQ(linux_code(static_cast<Key>(0xff00)), 0);
  EXPECT_EQ(key_from_linux_code(KEY_KPENTER), Key::keypad_enter);
  EXPECT_EQ(key_from_linux_code(0), std::nullopt);
  EXPECT_EQ(key_from_linux_code(0x10000 + KEY_A), std::nullopt);
  for (uint16_t usage = 0; usage <= 0xff; ++usage) {
    const uint16_t code = linux_code(Key{usage});
    if (code == 0) continue;
    const auto back = key_from_linux_code(code);
    ASSERT_TRUE(back) << usage;
    EXPECT_EQ(linux_code(*back), code);  // Two places may have one code: a keyboard has one of them.
  }
}

TEST(Router, GesturesBecomeFingers) {
  Router router;
  FakeTrackpad pad;
  router.add(pad);
  router.send(GestureEvent{.phase = GesturePhase::begin, .fingers = 3});
  router.send(GestureEvent{.dx = 10});
  router.send(GestureEvent{.phase = GesturePhase::end});
  router.send(GestureEvent{.dx = 10});
  ASSERT_EQ(pad.events.size(), 3u);
  EXPECT_NEAR(pad.events[1].contacts[2].x - pad.events[0].contacts[2].x, 0.1, 1e-9);
  EXPECT_THAT(pad.events[2].contacts, IsEmpty());
}

}  // namespace
}  // namespace alcove::input
