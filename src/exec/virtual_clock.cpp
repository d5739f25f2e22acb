#include "exec/virtual_clock.h"

#include "support/thread.h"

namespace alcove::exec {

HostClock::HostClock(const std::string& thread_name) : thread_([this] { serve(); }) {
  name_thread(thread_, thread_name);
}

HostClock::~HostClock() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Nanoseconds HostClock::now_locked() const {
  return running_ ? base_ + (Host::now() - since_) : base_;
}

Nanoseconds HostClock::now() const {
  std::lock_guard lock(mutex_);
  return now_locked();
}

Nanoseconds HostClock::wall() const {
  return std::chrono::system_clock::now().time_since_epoch();
}

void HostClock::pause() {
  std::lock_guard lock(mutex_);
  base_ = now_locked();
  running_ = false;
}

void HostClock::resume() {
  std::lock_guard lock(mutex_);
  if (running_) return;
  since_ = Host::now();
  running_ = true;
  changed_.notify_all();
}

void HostClock::erase(Alarm& alarm) {
  std::erase_if(due_, [&](const auto& entry) { return entry.second == &alarm; });
}

void HostClock::set(Alarm& alarm, Nanoseconds when) {
  std::lock_guard lock(mutex_);
  erase(alarm);
  if (alarm.removed) return;
  // In a statement of its own: in `emplace() == begin()` either may be called first.
  const auto entry = due_.emplace(when, &alarm);
  if (entry == due_.begin()) changed_.notify_all();
}

void HostClock::clear(Alarm& alarm) {
  std::lock_guard lock(mutex_);
  erase(alarm);
}

void HostClock::remove(Alarm& alarm) {
  std::unique_lock lock(mutex_);
  // Without this mark, one that sets itself again at once could be active whenever this thread looks.
  alarm.removed = true;
  erase(alarm);
  changed_.wait(lock, [&] { return active_ != &alarm; });
}

void HostClock::serve() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!running_ || due_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Nanoseconds left = due_.begin()->first - now_locked();
    if (left > Nanoseconds::zero()) {
      changed_.wait_for(lock, std::min<Nanoseconds>(left, std::chrono::hours(1)));
      continue;
    }
    active_ = due_.extract(due_.begin()).mapped();
    lock.unlock();
    active_->callback();
    lock.lock();
    active_ = nullptr;
    changed_.notify_all();
  }
}

Nanoseconds ManualClock::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

Nanoseconds ManualClock::wall() const {
  const std::lock_guard lock(mutex_);
  return wall_base_ + now_;
}

void ManualClock::set_wall(Nanoseconds wall) {
  const std::lock_guard lock(mutex_);
  wall_base_ = wall - now_;
}

void ManualClock::erase(Alarm& alarm) {
  std::erase_if(due_, [&](const auto& entry) { return entry.second == &alarm; });
}

void ManualClock::set(Alarm& alarm, Nanoseconds when) {
  const std::lock_guard lock(mutex_);
  erase(alarm);
  due_.emplace(when, &alarm);
}

void ManualClock::clear(Alarm& alarm) {
  const std::lock_guard lock(mutex_);
  erase(alarm);
}

void ManualClock::advance(Nanoseconds by) {
  std::unique_lock lock(mutex_);
  const Nanoseconds end = now_ + by;
  while (!due_.empty() && due_.begin()->first <= end) {
    auto node = due_.extract(due_.begin());
    now_ = std::max(now_, node.key());
    lock.unlock();
    node.mapped()->callback();
    lock.lock();
  }
  now_ = end;
}

}  // namespace alcove::exec
