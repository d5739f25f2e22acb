#pragma once

#include <alcove/executor.h>

#include <memory>
#include <thread>

namespace alcove::client {

// A machine's own executor: one thread.
class ThreadExecutor final : public SerialExecutor {
 public:
  ThreadExecutor();
  ~ThreadExecutor() override { finish(); }
  void post(std::move_only_function<void()> task) override;

  // Runs what is posted, and what that posts, and joins the thread; on the thread itself lets it end so by
  // itself.
  void finish();

 private:
  struct Queue;
  static void run(const std::shared_ptr<Queue>& queue);

  std::shared_ptr<Queue> queue_;
  std::thread thread_;
};

}  // namespace alcove::client
