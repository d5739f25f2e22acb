#include "client/thread_executor.h"

#include <condition_variable>
#include <deque>
#include <mutex>

#include "support/thread.h"

namespace alcove::client {

struct ThreadExecutor::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::move_only_function<void()>> tasks;
  bool ending = false;
};

ThreadExecutor::ThreadExecutor() : queue_(std::make_shared<Queue>()) {
  thread_ = start_thread("alcove-calls", [queue = queue_] { run(queue); });
}

void ThreadExecutor::finish() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->ending = true;
  }
  queue_->changed.notify_one();
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void ThreadExecutor::post(std::move_only_function<void()> task) {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->tasks.push_back(std::move(task));
  }
  queue_->changed.notify_one();
}

void ThreadExecutor::run(const std::shared_ptr<Queue>& queue) {
  std::unique_lock lock(queue->mutex);
  while (true) {
    queue->changed.wait(lock, [&] { return queue->ending || !queue->tasks.empty(); });
    if (queue->tasks.empty()) return;
    {
      auto task = std::move(queue->tasks.front());
      queue->tasks.pop_front();
      lock.unlock();
      task();
    }  // What the task holds is destroyed before the lock is taken again.
    lock.lock();
  }
}

}  // namespace alcove::client
