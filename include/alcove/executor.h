// Where an object's completions and observers are called.
#pragma once

#include <functional>

namespace alcove {

// Runs tasks one after another, in the order posted: an adapter for a program's own loop, for instance. Of
// what a guest makes happen no more than a few thousand tasks wait here: while the executor is behind, a
// machine's process waits to be heard.
class SerialExecutor {
 public:
  virtual ~SerialExecutor() = default;
  // Any thread may call it, also while a task runs. Returns without waiting; the task is run exactly once,
  // later, never inside post(). Tasks don't throw.
  virtual void post(std::move_only_function<void()> task) = 0;
};

}  // namespace alcove
