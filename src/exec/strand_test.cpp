#include "exec/strand.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace alcove::exec {
namespace {

TEST(Strand, RunsTasksOnThePostingThreadOneAfterAnother) {
  Strand strand("test");
  std::vector<int> order;
  strand.post([&] {
    EXPECT_TRUE(strand.on_this_thread());
    strand.post([&] { order.push_back(2); });
    order.push_back(1);
  });
  EXPECT_EQ(order, (std::vector{1, 2}));
  EXPECT_FALSE(strand.on_this_thread());
  strand.call([&] { order.push_back(3); });
  EXPECT_EQ(order.size(), 3u);
}

TEST(Strand, LeavesToItsOwnThreadWhatIsMeantForIt) {
  Strand strand("test");
  std::thread::id here;
  std::vector<int> order;
  strand.post_to_thread([&] {
    here = std::this_thread::get_id();
    order.push_back(1);
  });
  strand.call([&] { order.push_back(2); });
  EXPECT_NE(here, std::this_thread::get_id());
  EXPECT_EQ(order, (std::vector{1, 2}));
}

// A guest can make work without end.
TEST(Strand, KeepsNoThreadThatItBorrowed) {
  std::atomic<unsigned> count = 0;
  std::function<void()> again;
  {
    Strand strand("test");
    again = [&] {
      ++count;
      strand.post([&] { again(); });
    };
    strand.post([&] { again(); });
    while (count <= 2 * Strand::kBorrowedTasks) std::this_thread::yield();
  }  // Ends nevertheless.
  EXPECT_GT(count, Strand::kBorrowedTasks);
}

TEST(Strand, SerializesManyThreads) {
  unsigned count = 0;
  {
    Strand strand("test");
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 2000; ++j) {
          if (j % 64 == 0) {
            strand.post_to_thread([&] { ++count; });
          } else {
            strand.post([&] { ++count; });
          }
        }
      });
    }
  }
  EXPECT_EQ(count, 8000u);
}

}  // namespace
}  // namespace alcove::exec
