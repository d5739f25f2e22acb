#include "exec/strand.h"

#include <limits>
#include <utility>

namespace alcove::exec {

Strand::Strand(const std::string& thread_name) : thread_(thread_name) {}

Strand::~Strand() {
  std::unique_lock lock(mutex_);
  is_ending_ = true;
  idle_.wait(lock, [this] { return !is_served_; });
}

void Strand::post(Task task) {
  add({.task = std::move(task), .to_thread = false});
}

void Strand::post_to_thread(Task task) {
  add({.task = std::move(task), .to_thread = true});
}

void Strand::add(Posted posted) {
  {
    const std::lock_guard lock(mutex_);
    if (is_ending_) return;
    posted_.push_back(std::move(posted));
    if (std::exchange(is_served_, true)) return;
  }
  serve(kBorrowedTasks);
}

void Strand::serve(unsigned most) {
  std::unique_lock lock(mutex_);
  server_ = std::this_thread::get_id();
  while (!posted_.empty()) {
    if (!thread_.loop().on_this_thread() && (most-- == 0 || posted_.front().to_thread)) {
      server_ = std::thread::id();
      // With the lock: the destructor waits for it.
      return thread_.loop().post([this] { serve(std::numeric_limits<unsigned>::max()); });
    }
    {
      Posted next = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      next.task();
    }
    lock.lock();
  }
  server_ = std::thread::id();
  is_served_ = false;
  idle_.notify_all();
}

void Strand::run_posted() {
  std::unique_lock lock(mutex_);
  auto posted = std::exchange(posted_, {});
  lock.unlock();
  for (Posted& next : posted) next.task();
}

}  // namespace alcove::exec
