// Keys and gestures, as Qt tells them.
#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include <QKeyEvent>
#include <QNativeGestureEvent>
#include <QPointingDevice>

#include "view/qt/gestures.h"
#include "view/qt/keys.h"

namespace alcove::view::qt {
namespace {

std::optional<Key> key(int meaning, quint32 scan_code, const QString& text = {}) {
  return key_of(QKeyEvent(QEvent::KeyPress, meaning, Qt::NoModifier, scan_code, 0, 0, text));
}

TEST(Keys, GoByTheirPlace) {
  // On a French keyboard A is where Q is printed on a US one.
  EXPECT_EQ(key(Qt::Key_A, KEY_Q + 8), Key::q);
  EXPECT_EQ(key(Qt::Key_Enter, KEY_KPENTER + 8), Key::keypad_enter);
  EXPECT_EQ(key(Qt::Key_Control, KEY_RIGHTCTRL + 8), Key::right_control);
  EXPECT_EQ(key(0, KEY_102ND + 8), Key::non_us_backslash);
}

TEST(Keys, GoByTheirMeaningWhereNothingElseIsKnown) {
  EXPECT_EQ(key(Qt::Key_A, 0), Key::a);
  EXPECT_EQ(key(Qt::Key_Z, 0xfff0), Key::z);
  EXPECT_EQ(key(Qt::Key_7, 0), Key::digit_7);
  EXPECT_EQ(key(Qt::Key_Ampersand, 0), Key::digit_7);
  EXPECT_EQ(key(Qt::Key_Question, 0), Key::slash);
  EXPECT_EQ(key(Qt::Key_Space, 0), Key::space);
  EXPECT_EQ(key(Qt::Key_F12, 0), Key::f12);
  EXPECT_EQ(key(Qt::Key_Backtab, 0), Key::tab);
  EXPECT_EQ(key(Qt::Key_Meta, 0), Key::left_meta);
  EXPECT_EQ(key(Qt::Key_unknown, 0), std::nullopt);
  EXPECT_EQ(key(0, 0), std::nullopt);
  EXPECT_EQ(key(Qt::Key_Adiaeresis, 0), std::nullopt);
}

std::vector<GestureEvent> gesture(Gestures& gestures, Qt::NativeGestureType type, double value,
                                  QPointF delta = {}, int fingers = 2) {
  return gestures.translate(
      QNativeGestureEvent(type, QPointingDevice::primaryPointingDevice(), fingers, {}, {}, {}, value, delta));
}

TEST(Gestures, PinchAndRotate) {
  Gestures gestures;
  EXPECT_EQ(gesture(gestures, Qt::BeginNativeGesture, 0),
            (std::vector{GestureEvent{.phase = GesturePhase::begin, .fingers = 2}}));
  EXPECT_EQ(gesture(gestures, Qt::ZoomNativeGesture, 0.25),
            (std::vector{GestureEvent{.magnification = 0.25}}));
  EXPECT_EQ(gesture(gestures, Qt::RotateNativeGesture, -3), (std::vector{GestureEvent{.rotation = -3}}));
  EXPECT_EQ(gesture(gestures, Qt::EndNativeGesture, 0),
            (std::vector{GestureEvent{.phase = GesturePhase::end}}));
  EXPECT_TRUE(gesture(gestures, Qt::EndNativeGesture, 0).empty());
}

TEST(Gestures, PanWithThreeFingersAndWithoutABeginning) {
  Gestures gestures;
  const auto events = gesture(gestures, Qt::PanNativeGesture, 0, {100, -10}, 3);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0], (GestureEvent{.phase = GesturePhase::begin, .fingers = 3}));
  EXPECT_EQ(events[1].fingers, 3u);
  EXPECT_GT(events[1].dx, 5);
  EXPECT_LT(events[1].dx, 15);
  EXPECT_NEAR(events[1].dy, -events[1].dx / 10, 1e-9);
}

TEST(Gestures, SwipeAsAWhole) {
  Gestures gestures;
  const auto events = gesture(gestures, Qt::SwipeNativeGesture, 90);
  ASSERT_GT(events.size(), 3u);
  EXPECT_EQ(events.front().phase, GesturePhase::begin);
  EXPECT_EQ(events.back().phase, GesturePhase::end);
  EXPECT_NEAR(events[1].dx, 0, 1e-9);
  EXPECT_LT(events[1].dy, 0);  // Away from the user.
}

}  // namespace
}  // namespace alcove::view::qt
