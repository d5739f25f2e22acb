#include "exec/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <vector>

namespace alcove::exec {
namespace {

TEST(EventLoop, RunsPostedTasksInOrder) {
  LoopThread thread("test");
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) thread.loop().post([&, i] { order.push_back(i); });
  thread.loop().call([] {});
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(EventLoop, CallsWatchesUntilUnwatched) {
  LoopThread thread("test");
  UniqueFd event(eventfd(0, EFD_NONBLOCK));
  int calls = 0;
  thread.loop().call([&] {
    thread.loop().watch(event.get(), EPOLLIN, [&](uint32_t) {
      if (++calls == 3) thread.loop().unwatch(event.get());
    });
  });
  eventfd_write(event.get(), 1);
  while (true) {
    int seen = 0;
    thread.loop().call([&] { seen = calls; });
    if (seen == 3) break;
  }
}

TEST(EventLoop, RunsTimersInTheOrderOfTheirTimesAndNotTheCancelled) {
  LoopThread thread("test");
  std::vector<int> order;
  std::atomic<bool> done = false;
  thread.loop().call([&] {
    const auto now = Clock::now();
    thread.loop().call_at(now + std::chrono::milliseconds(20), [&] { order.push_back(2), done = true; });
    const auto cancelled =
        thread.loop().call_at(now + std::chrono::milliseconds(10), [&] { order.push_back(9); });
    thread.loop().call_at(now + std::chrono::milliseconds(1), [&] { order.push_back(1); });
    thread.loop().cancel(cancelled);
  });
  while (!done) std::this_thread::yield();
  thread.loop().call([] {});
  EXPECT_EQ(order, (std::vector{1, 2}));
}

}  // namespace
}  // namespace alcove::exec
