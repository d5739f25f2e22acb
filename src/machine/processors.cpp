#include "machine/processors.h"

#include <fmt/format.h>

#include "support/thread.h"

namespace alcove::machine {

Processors::Processors(cpu::Vm& vm, OnExit on_exit) : vm_(vm), on_exit_(std::move(on_exit)) {
  for (unsigned index = 0; index < vm.cpu_count(); ++index) {
    threads_.emplace_back([this, index] { serve(index); });
    name_thread(threads_.back(), fmt::format("vcpu {}", index));
  }
}

Processors::~Processors() {
  pause();
  {
    std::lock_guard lock(mutex_);
    quitting_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Processors::resume() {
  {
    std::lock_guard lock(mutex_);
    running_ = true;
  }
  changed_.notify_all();
}

void Processors::halt() {
  {
    std::lock_guard lock(mutex_);
    running_ = false;
  }
  // A kick also ends a run() that has not begun yet, so one that saw running_ just before is not missed.
  for (unsigned index = 0; index < vm_.cpu_count(); ++index) vm_.vcpu(index).kick();
}

void Processors::pause() {
  halt();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return active_ == 0; });
}

void Processors::note_pause() {
  for (unsigned index = 0; index < vm_.cpu_count(); ++index) vm_.vcpu(index).note_pause();
}

void Processors::serve(unsigned index) {
  cpu::Vcpu& vcpu = vm_.vcpu(index);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return running_ || quitting_; });
    if (quitting_) return;
    ++active_;
    lock.unlock();
    const cpu::Exit exit = vcpu.run();
    if (exit != cpu::Exit::kicked) {
      halt();
      on_exit_(index, exit);
    }
    lock.lock();
    if (--active_ == 0) changed_.notify_all();
  }
}

}  // namespace alcove::machine
