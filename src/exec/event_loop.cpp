#include "exec/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <latch>

#include "support/thread.h"

namespace alcove::exec {

void Executor::call(std::move_only_function<void()> task) {
  if (on_this_thread()) return task();
  std::latch done(1);
  post([&] {
    task();
    done.count_down();
  });
  done.wait();
}

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = wake_.get()}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
}

EventLoop::~EventLoop() = default;

void EventLoop::post(Task task) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (first) eventfd_write(wake_.get(), 1);
}

void EventLoop::watch(int fd, uint32_t events, Callback callback) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  const bool known = watches_.contains(fd);
  watches_[fd] = {std::make_shared<Callback>(std::move(callback)), next_generation_++};
  epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

void EventLoop::change(int fd, uint32_t events) {
  if (!watches_.contains(fd)) return;
  epoll_event event{.events = events, .data = {.fd = fd}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::unwatch(int fd) {
  if (watches_.erase(fd)) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::call_at(Clock::time_point when, Task task) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair(when, id), std::move(task));
  timer_times_.emplace(id, when);
  return id;
}

void EventLoop::cancel(TimerId id) {
  auto found = timer_times_.find(id);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, id});
  timer_times_.erase(found);
}

int EventLoop::next_timeout_ms() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - Clock::now();
  if (left <= Clock::duration::zero()) return 0;
  // Rounded up, so that the loop does not spin through the last millisecond.
  return static_cast<int>(
      std::min<int64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count(), 1 << 30));
}

void EventLoop::run_posted() {
  std::vector<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::run_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
    auto node = timers_.extract(timers_.begin());
    timer_times_.erase(node.key().second);
    node.mapped()();
  }
}

void EventLoop::run() {
  thread_ = std::this_thread::get_id();
  std::array<epoll_event, 32> events{};
  while (!stopping_) {
    const uint64_t generation = next_generation_;
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), next_timeout_ms());
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == wake_.get()) {
        eventfd_t ignored;
        eventfd_read(wake_.get(), &ignored);
        continue;
      }
      // A callback may have closed this descriptor and a new one taken its number since epoll_wait returned.
      auto found = watches_.find(fd);
      if (found == watches_.end() || found->second.generation >= generation) continue;
      auto callback = found->second.callback;
      (*callback)(events[i].events);
    }
    run_timers();
    run_posted();
  }
  run_posted();
}

void EventLoop::stop() {
  post([this] { stopping_ = true; });
}

LoopThread::LoopThread(const std::string& name) : thread_([this] { loop_.run(); }) {
  name_thread(thread_, name);
}

LoopThread::~LoopThread() {
  loop_.stop();
  thread_.join();
}

}  // namespace alcove::exec
