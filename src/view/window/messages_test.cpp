#include "view/window/messages.h"

#include <gtest/gtest.h>

namespace alcove::view::window {
namespace {

void expect_back(const Message& message) {
  std::string line = to_line(message);
  ASSERT_TRUE(line.ends_with('\n'));
  line.pop_back();
  const auto back = message_from_line(line);
  ASSERT_TRUE(back) << line;
  EXPECT_EQ(*back, message) << line;
}

TEST(WindowMessages, LeadBack) {
  for (const Word word : {Word::hello, Word::release, Word::shut_down, Word::stop}) expect_back(word);
  expect_back(KeyEvent{.key = Key::right_meta, .pressed = true});
  expect_back(
      PointerEvent{.x = 0.1, .y = 1.0 / 3, .buttons = {.left = true, .forward = true}, .wheel_y = -0.125});
  expect_back(TouchEvent{});
  expect_back(
      TouchEvent{.contacts = {{.id = 1, .x = 0.5, .y = 0.25}, {.id = 7, .x = 1, .y = 0}}, .pressed = true});
  expect_back(GestureEvent{
      .phase = GesturePhase::end, .fingers = 3, .dx = -1.5, .magnification = 1e-17, .rotation = 3});
  expect_back(VirtioGraphicsScanoutConfiguration{.width = 1920, .height = 1080, .pixels_per_inch = 144});
}

TEST(WindowMessages, SituationLeadsBack) {
  const Situation situation{.state = VirtualMachineState::paused,
                            .starts = 1ull << 63,
                            .size = {640, 480},
                            .name = "a machine of mine"};
  std::string line = to_line(situation);
  line.pop_back();
  EXPECT_EQ(situation_from_line(line), situation);
  // A name can't make a second line.
  EXPECT_EQ(to_line(Situation{.name = "x\nsituation 3 1 1 y"}), "situation 0 0 0 0 x situation 3 1 1 y\n");
}

TEST(WindowMessages, RefuseWhatIsNone) {
  for (const char* line : {"",
                           " ",
                           "key",
                           "key 4",
                           "key 4 2",
                           "key -4 1",
                           "key 65536 1",
                           "key 4 1 1",
                           "key 4x 1",
                           "hello",
                           "hello 2",
                           "pointer 0 0 0 0",
                           "pointer nan 0 0 0 0",
                           "pointer inf 0 0 0 0",
                           "pointer 0 0 32 0 0",
                           "pointer 1e300 0 0 0 0",
                           "touch",
                           "touch 1 2",
                           "touch 1 2 0.5",
                           "gesture 3 2 0 0 0 0",
                           "gesture 1 2 0 0 0",
                           "reconfigure 1 2",
                           "reconfigure 1 2 70000",
                           "stop now",
                           "situation 0 0 1 1 x"}) {
    EXPECT_FALSE(message_from_line(line)) << line;
  }
  for (const char* line : {"", "situation", "situation 10 0 1 1 x", "situation 0 0 1",
                           "situation 0 0 70000 1 x", "situation 0 -1 1 1 x", "key 4 1"})
    EXPECT_FALSE(situation_from_line(line)) << line;
}

}  // namespace
}  // namespace alcove::view::window
