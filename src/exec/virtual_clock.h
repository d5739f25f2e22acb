// Time as a machine's devices see it, and timers on it. It stands still while the machine is paused.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace alcove::exec {

using Nanoseconds = std::chrono::nanoseconds;

// All members may be called from any thread.
class VirtualClock {
 public:
  virtual ~VirtualClock() = default;
  virtual Nanoseconds now() const = 0;   // Monotonic, from 0.
  virtual Nanoseconds wall() const = 0;  // The host's time of day, since 1970-01-01 UTC.

 protected:
  friend class Timer;
  struct Alarm {
    std::function<void()> callback;
    bool removed = false;  // Its callback may still be under way, and set it in vain.
  };
  virtual void set(Alarm& alarm, Nanoseconds when) = 0;
  virtual void clear(Alarm& alarm) = 0;
  // As clear(), and waits for a callback that is under way.
  virtual void remove(Alarm& alarm) = 0;
};

// Calls back once the clock has reached a time. As set() and clear() don't wait for a callback that is under
// way on the clock's thread, one may come late: a callback looks at its device's state, not at why it was
// set. The callback may set and clear its timer, but not destroy it: the destructor waits for the callback.
// Nor may what it locks be held by whoever destroys the timer.
class Timer {
 public:
  Timer(VirtualClock& clock, std::function<void()> callback) : clock_(clock), alarm_{std::move(callback)} {}
  ~Timer() { clock_.remove(alarm_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Once, in place of what was set before; at once if `when` has passed.
  void set(Nanoseconds when) { clock_.set(alarm_, when); }
  void clear() { clock_.clear(alarm_); }

 private:
  VirtualClock& clock_;
  VirtualClock::Alarm alarm_;
};

// Follows the host's monotonic clock, with a thread for its timers. Begins paused, at 0.
class HostClock final : public VirtualClock {
 public:
  explicit HostClock(const std::string& thread_name);
  ~HostClock() override;

  Nanoseconds now() const override;
  Nanoseconds wall() const override;

  // Repeated calls do nothing. A callback that is under way when pause() is called may go on after it.
  void pause();
  void resume();

 private:
  using Host = std::chrono::steady_clock;
  void set(Alarm& alarm, Nanoseconds when) override;
  void clear(Alarm& alarm) override;
  void remove(Alarm& alarm) override;
  void serve();
  Nanoseconds now_locked() const;
  void erase(Alarm& alarm);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false;
  bool stopping_ = false;
  Nanoseconds base_{0};  // The clock's time at `since_` when running, otherwise its time.
  Host::time_point since_;
  std::multimap<Nanoseconds, Alarm*> due_;
  Alarm* active_ = nullptr;  // Whose callback is under way.
  std::thread thread_;
};

// For tests: time passes when told.
class ManualClock final : public VirtualClock {
 public:
  Nanoseconds now() const override;
  Nanoseconds wall() const override;
  void set_wall(Nanoseconds wall);
  // Runs the timers that fall due meanwhile, each at its time.
  void advance(Nanoseconds by);

 private:
  void set(Alarm& alarm, Nanoseconds when) override;
  void clear(Alarm& alarm) override;
  void remove(Alarm& alarm) override { clear(alarm); }
  void erase(Alarm& alarm);

  mutable std::mutex mutex_;  // Guards what follows: devices set timers on threads of theirs.
  Nanoseconds now_{0};
  Nanoseconds wall_base_{0};
  std::multimap<Nanoseconds, Alarm*> due_;
};

}  // namespace alcove::exec
