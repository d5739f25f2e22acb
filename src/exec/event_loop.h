// A serial executor on one thread: posted tasks, file descriptors, timers (epoll).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::exec {

using Clock = std::chrono::steady_clock;
using Task = std::move_only_function<void()>;

// Runs tasks one after another, in the order posted. post() may be called from any thread.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void post(Task task) = 0;
  virtual bool on_this_thread() const = 0;
  // Runs `task` on the executor and waits; runs it at once when already there.
  void call(std::move_only_function<void()> task);
};

// run() serves until stop(). All members but post(), stop() and on_this_thread() belong to the loop's thread
// (or to its owner before run()).
class EventLoop final : public Executor {
 public:
  EventLoop();
  ~EventLoop() override;

  void post(Task task) override;
  bool on_this_thread() const override { return std::this_thread::get_id() == thread_; }

  // `events` as for epoll (EPOLLIN…), level-triggered; the callback gets those that are ready, and EPOLLERR
  // and EPOLLHUP unasked. A second watch() of a descriptor takes the place of the first. Descriptors that
  // epoll does not take (regular files) are never ready. The loop does not own them: unwatch() before
  // closing.
  using Callback = std::move_only_function<void(uint32_t events)>;
  void watch(int fd, uint32_t events, Callback callback);
  void change(int fd, uint32_t events);  // Nothing, where it is not watched.
  void unwatch(int fd);                  // Its callback is not called again, even if already due.

  using TimerId = uint64_t;
  // Once, up to about a millisecond late.
  TimerId call_at(Clock::time_point when, Task task);
  void cancel(TimerId id);  // Nothing, where it has run already.

  void run();   // Once in the loop's life.
  void stop();  // Any thread. What was posted before is run; what is posted after run() has returned is not.
  // Runs what is posted by now, from within a task: for tests that are tasks of the loop themselves.
  void run_posted();

 private:
  struct Watch {
    std::shared_ptr<Callback> callback;
    uint64_t generation;
  };
  int next_timeout_ms() const;
  void run_timers();

  UniqueFd epoll_;
  UniqueFd wake_;
  std::atomic<std::thread::id> thread_;
  bool stopping_ = false;
  std::mutex mutex_;  // Guards posted_.
  std::vector<Task> posted_;
  std::map<int, Watch> watches_;
  uint64_t next_generation_ = 1;
  std::map<std::pair<Clock::time_point, TimerId>, Task> timers_;
  std::map<TimerId, Clock::time_point> timer_times_;
  TimerId next_timer_ = 1;
};

// An event loop with a thread of its own; the destructor runs what is posted, stops and joins.
class LoopThread {
 public:
  explicit LoopThread(const std::string& name);  // Shown by ps and top; 15 characters at most.
  ~LoopThread();
  EventLoop& loop() { return loop_; }

 private:
  EventLoop loop_;
  std::thread thread_;
};

}  // namespace alcove::exec
