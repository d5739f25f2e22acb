#include "storage/flush_turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

namespace alcove::storage {
namespace {

// One is under way while `count` others come.
std::vector<IoResult> flush_together(FlushTurns& turns, int count, std::atomic<int>& calls, IoResult result) {
  std::atomic<int> begun = 0;
  std::vector<IoResult> results(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  std::atomic<bool> is_first = true;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      ++begun;
      results[static_cast<size_t>(i)] = turns.share([&]() -> IoResult {
        ++calls;
        // All have come, and a moment later wait.
        while (is_first && begun < count) std::this_thread::yield();
        if (is_first.exchange(false)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
        return result;
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST(FlushTurns, ServeAllThatWaitAtOnce) {
  FlushTurns turns;
  std::atomic<int> calls = 0;
  for (const IoResult& result : flush_together(turns, 8, calls, {})) EXPECT_TRUE(result);
  // The first began before the others came, the second after.
  EXPECT_EQ(calls, 2);
}

TEST(FlushTurns, ShareNoFailure) {
  FlushTurns turns;
  std::atomic<int> calls = 0;
  for (const IoResult& result : flush_together(turns, 4, calls, std::unexpected(EIO))) EXPECT_FALSE(result);
  EXPECT_EQ(calls, 4);
}

TEST(FlushTurns, DoNotCountWhatBeganBefore) {
  FlushTurns turns;
  int calls = 0;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(turns.share([&]() -> IoResult { return ++calls, IoResult(); }));
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace alcove::storage
