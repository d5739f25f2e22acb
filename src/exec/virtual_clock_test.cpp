#include "exec/virtual_clock.h"

#include <gtest/gtest.h>

#include <atomic>

namespace alcove::exec {
namespace {

using namespace std::chrono_literals;

TEST(ManualClock, RunsEachTimerAtItsTime) {
  ManualClock clock;
  std::vector<std::pair<char, Nanoseconds>> log;
  Timer a(clock, [&] { log.emplace_back('a', clock.now()); });
  Timer b(clock, [&] { log.emplace_back('b', clock.now()); });
  a.set(30ms);
  b.set(10ms);
  clock.advance(20ms);
  EXPECT_EQ(log, (std::vector<std::pair<char, Nanoseconds>>{{'b', 10ms}}));
  a.clear();
  clock.advance(20ms);
  EXPECT_EQ(log.size(), 1u);
}

TEST(HostClock, StandsStillWhilePaused) {
  HostClock clock("test clock");
  std::atomic<int> fired{0};
  Timer timer(clock, [&] { ++fired; });
  timer.set(1ms);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(fired, 0);
  EXPECT_EQ(clock.now(), 0ns);
  clock.resume();
  for (int i = 0; i < 1000 && fired == 0; ++i) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(fired, 1);
  clock.pause();
  const Nanoseconds stopped = clock.now();
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(clock.now(), stopped);
}

// Whether it became true within a time that only a missed wake-up takes.
bool soon(const std::function<bool()>& condition) {
  for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(1ms);
  return condition();
}

TEST(HostClock, WakesForATimerSetWhileItsThreadSleeps) {
  HostClock clock("test clock");
  clock.resume();
  std::this_thread::sleep_for(20ms);  // So that the thread waits, with nothing due.
  std::atomic<bool> first{false}, second{false}, late{false};
  Timer first_timer(clock, [&] { first = true; });
  Timer second_timer(clock, [&] { second = true; });
  Timer late_timer(clock, [&] { late = true; });
  first_timer.set(clock.now());
  EXPECT_TRUE(soon([&] { return first.load(); }));
  late_timer.set(clock.now() + 1h);
  std::this_thread::sleep_for(20ms);  // So that it waits for the late one.
  second_timer.set(clock.now() + 1ms);
  EXPECT_TRUE(soon([&] { return second.load(); }));
  EXPECT_FALSE(late);
}

TEST(HostClock, TimerThatSetsItselfAgainCanBeDestroyed) {
  HostClock clock("test clock");
  clock.resume();
  std::atomic<int> fired{0};
  {
    Timer* self = nullptr;
    std::unique_ptr<Timer> timer;  // Last: its callback, which uses the others, may run until it is gone.
    timer = std::make_unique<Timer>(clock, [&] {
      ++fired;
      self->set(clock.now() + 100us);
    });
    self = timer.get();
    timer->set(clock.now());
    while (fired < 3) std::this_thread::yield();
  }
  const int after = fired;
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(fired, after);
}

}  // namespace
}  // namespace alcove::exec
