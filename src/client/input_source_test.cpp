// Input on its way to the machine's process; the fake guest counts what arrives and tells it as statistics.
#include <thread>

#include "client/input_source.h"
#include "client/test_machine.h"

namespace alcove::client {
namespace {

class InputTest : public MachineTest {
 protected:
  VirtualMachineConfiguration with_input() const {
    VirtualMachineConfiguration result = configuration();
    result.keyboards = {VirtioKeyboardConfiguration{}};
    result.pointing_devices = {VirtioScreenCoordinatePointingDeviceConfiguration{},
                               VirtioTrackpadConfiguration{}};
    result.memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{}};
    return result;
  }
  struct Counts {
    uint64_t all, pressed, released;
    bool operator==(const Counts&) const = default;
  };
  // Requests come after the input that was sent before, but for a process that reads slowly.
  static Counts counts(VirtualMachine& machine) {
    Outcome<MemoryBalloonStatistics> outcome;
    machine.memory_balloon_devices()[0]->statistics(outcome.completion());
    const auto statistics = outcome.get();
    if (!statistics) return {};
    return {statistics->swapped_in.value_or(0), statistics->major_faults.value_or(0),
            statistics->minor_faults.value_or(0)};
  }
};

TEST_F(InputTest, ReachesTheMachine) {
  auto machine = running(with_input());
  InputSource source = machine->open_input_source();
  EXPECT_TRUE(source.send(KeyEvent{Key::a, true}));
  EXPECT_TRUE(source.send(KeyEvent{Key::a, true}));   // Held already,
  EXPECT_TRUE(source.send(KeyEvent{Key::b, false}));  // not held: neither is sent.
  EXPECT_TRUE(source.send(TouchEvent{}));
  EXPECT_TRUE(source.send(GestureEvent{.magnification = 1}));
  EXPECT_TRUE(source.send(KeyEvent{Key::a, false}));
  EXPECT_EQ(counts(*machine), (Counts{2, 1, 1}));
  EXPECT_TRUE(source.send(GestureEvent{.phase = GesturePhase::begin}));
  EXPECT_TRUE(source.send(TouchEvent{.contacts = {{.id = 1}}}));
  EXPECT_EQ(counts(*machine).all, 4u);
}

TEST_F(InputTest, IsReleasedWithItsSource) {
  auto machine = running(with_input());
  {
    InputSource source = machine->open_input_source();
    ASSERT_TRUE(source.send(KeyEvent{Key::left_shift, true}));
    ASSERT_TRUE(source.send(KeyEvent{Key::a, true}));
    ASSERT_TRUE(source.send(PointerEvent{.buttons = {.left = true}}));
    EXPECT_EQ(counts(*machine), (Counts{3, 3, 0}));
    InputSource moved = std::move(source);
    EXPECT_FALSE(source.send(KeyEvent{Key::b, true}));
    EXPECT_EQ(counts(*machine), (Counts{3, 3, 0}));
  }
  EXPECT_EQ(counts(*machine), (Counts{6, 3, 3}));
}

TEST_F(InputTest, IsReleasedWhilePaused) {
  auto machine = running(with_input());
  InputSource source = machine->open_input_source();
  ASSERT_TRUE(source.send(KeyEvent{Key::a, true}));
  ASSERT_TRUE(pause(*machine));
  source.release_all();
  ASSERT_TRUE(resume(*machine));
  EXPECT_EQ(counts(*machine), (Counts{2, 1, 1}));
}

TEST_F(InputTest, EndsWithTheMachine) {
  auto machine = create(with_input());
  InputSource source = machine->open_input_source();
  EXPECT_EQ(code_of(source.send(KeyEvent{Key::a, true})), ErrorCode::invalid_virtual_machine_state);
  ASSERT_TRUE(start(*machine));
  EXPECT_TRUE(source.send(KeyEvent{Key::a, true}));
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(code_of(source.send(KeyEvent{Key::b, true})), ErrorCode::invalid_virtual_machine_state);
  ASSERT_TRUE(start(*machine));
  EXPECT_TRUE(source.send(KeyEvent{Key::a, true}));  // Nothing is held in a new machine.
  EXPECT_EQ(counts(*machine), (Counts{1, 1, 0}));
  machine.reset();
  EXPECT_EQ(code_of(source.send(KeyEvent{Key::b, true})), ErrorCode::invalid_virtual_machine_state);
  EXPECT_EQ(code_of(InputSource().send(KeyEvent{})), ErrorCode::invalid_virtual_machine_state);
}

TEST_F(InputTest, NeedsDevices) {
  auto machine = running();
  InputSource source = machine->open_input_source();
  const InputEvent events[] = {KeyEvent{Key::a, true}, PointerEvent{}, TouchEvent{.pressed = true},
                               GestureEvent{.phase = GesturePhase::begin}};
  for (const InputEvent& event : events) EXPECT_EQ(code_of(source.send(event)), ErrorCode::not_supported);
}

TEST_F(InputTest, ComesFromManyThreads) {
  auto machine = running(with_input());
  std::vector<std::thread> threads;
  for (unsigned index = 0; index < 4; ++index) {
    threads.emplace_back([&machine, index] {
      InputSource source = machine->open_input_source();
      for (unsigned i = 0; i < 200; ++i) {
        const auto key = static_cast<Key>(4 + index);
        while (!source.send(KeyEvent{key, true})) std::this_thread::yield();
        while (!source.send(KeyEvent{key, false})) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts(*machine), (Counts{1600, 800, 800}));
}

TEST(InputOutbox, IsBounded) {
  InputOutbox outbox;
  unsigned taken = 0;
  for (unsigned i = 0; i < 5000; ++i) taken += outbox.push(KeyEvent{Key::a, true}, false);
  EXPECT_EQ(taken, InputOutbox::kMost);
  EXPECT_TRUE(outbox.push(KeyEvent{Key::a, false}, true));
  for (unsigned i = 0; i < 5000; ++i) outbox.push(PointerEvent{.wheel_y = 1}, true);
  const auto events = outbox.take();
  EXPECT_EQ(events.size(), InputOutbox::kMost + 2);
  EXPECT_EQ(std::get<PointerEvent>(events.back()).wheel_y, 5000);
}

}  // namespace
}  // namespace alcove::client
