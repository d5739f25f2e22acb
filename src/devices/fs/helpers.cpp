#include "devices/fs/helpers.h"

#include "support/thread.h"

namespace alcove::devices::fs {

Helpers::~Helpers() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Helpers::run(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    ++unfinished_;
    if (idle_ < tasks_.size() && threads_.size() < most_threads_)
      threads_.push_back(start_thread("share helper", [this] { work(); }));
  }
  changed_.notify_all();
}

void Helpers::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return unfinished_ == 0; });
}

void Helpers::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return ends_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    if (--unfinished_ == 0) changed_.notify_all();
  }
}

}  // namespace alcove::devices::fs
