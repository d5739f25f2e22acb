// Threads for what takes long, so that what does not need not wait for it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace alcove::devices::fs {

// Any thread.
class Helpers {
 public:
  using Task = std::move_only_function<void()>;
  // Begun as they are needed.
  explicit Helpers(size_t most_threads) : most_threads_(most_threads) {}
  ~Helpers();
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  void run(Task task);
  // Waits until all tasks given so far are done.
  void drain();

 private:
  void work();

  const size_t most_threads_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  size_t unfinished_ = 0;
  bool ends_ = false;
};

}  // namespace alcove::devices::fs
