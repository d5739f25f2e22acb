#pragma once

#include <alcove/virtual_machine.h>

#include <mutex>

namespace alcove {

// Shared by the Observation and, weakly, by its machine. Held locked while one of the functions is called, so
// that ending the observation waits for it; recursive, so that the function itself may end it.
class Observation::Record {
 public:
  explicit Record(VirtualMachineObserver observer) : observer_(std::move(observer)) {}

  template <class Function>
  void notify(const Function& function) {
    const std::lock_guard lock(mutex_);
    if (active_) function(observer_);
  }
  void end() {
    const std::lock_guard lock(mutex_);
    active_ = false;
  }

 private:
  std::recursive_mutex mutex_;
  bool active_ = true;
  const VirtualMachineObserver observer_;
};

}  // namespace alcove
