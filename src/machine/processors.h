// The threads that run virtual CPUs.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cpu/hypervisor.h"

namespace alcove::machine {

// They stand at first. All members but the destructor may be called from any thread; pause() not from a
// virtual CPU's.
class Processors {
 public:
  // Tells, on the processor's thread, that it stands because it can't go on; the others are being halted.
  using OnExit = std::function<void(unsigned index, cpu::Exit exit)>;

  Processors(cpu::Vm& vm, OnExit on_exit);
  ~Processors();

  void resume();
  void halt();        // Asks all to stand, and returns at once.
  void note_pause();  // Tells the guest, while they stand.
  void pause();       // halt(), and waits until they stand.

 private:
  void serve(unsigned index);

  cpu::Vm& vm_;
  OnExit on_exit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false;
  bool quitting_ = false;
  unsigned active_ = 0;  // Processors inside run().
  std::vector<std::thread> threads_;
};

}  // namespace alcove::machine
