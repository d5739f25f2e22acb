// For tests: a hypervisor whose processors execute a C++ function, and an observer that counts.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "cpu/hypervisor.h"
#include "machine/machine.h"

namespace alcove::machine {

// What a virtual CPU does instead of executing guest code, from each time it begins at the kernel's entry.
using Program = std::function<cpu::Exit(cpu::IoHandler&, const std::atomic<bool>& kicked)>;

class FakeVcpu final : public cpu::Vcpu {
 public:
  FakeVcpu(cpu::IoHandler& io, Program program, bool goes_on)
      : io_(io), program_(std::move(program)), goes_on_(goes_on) {}

  cpu::Exit run() override {
    if ((fresh_ || goes_on_) && program_) {
      fresh_ = false;
      ++runs;
      const cpu::Exit exit = program_(io_, kicked_);
      if (exit != cpu::Exit::kicked) return exit;
    }
    std::unique_lock lock(mutex_);  // As HLT.
    changed_.wait(lock, [this] { return kicked_.load(); });
    kicked_ = false;
    return cpu::Exit::kicked;
  }
  void kick() override {
    std::lock_guard lock(mutex_);
    kicked_ = true;
    changed_.notify_all();
  }
  cpu::X86State state() const override { return state_; }
  Result<> set_state(const cpu::X86State& state) override {
    state_ = state;
    return {};
  }
  void reset() override {
    state_ = {};
    fresh_ = true;
  }
  void note_pause() override { ++noted_pauses; }
  Error error() const override { return {ErrorCode::internal, "", "broken", ""}; }

  std::atomic<int> runs = 0, noted_pauses = 0;

 private:
  cpu::IoHandler& io_;
  Program program_;
  const bool goes_on_;
  cpu::X86State state_;
  bool fresh_ = false;
  std::atomic<bool> kicked_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

class FakeVm final : public cpu::Vm {
 public:
  FakeVm(const cpu::VmOptions& options, const Program& program, bool goes_on)
      : memory(*options.memory), io(*options.io) {
    for (unsigned i = 0; i < options.cpu_count; ++i) {
      vcpus.push_back(std::make_unique<FakeVcpu>(io, i == 0 ? program : Program(), goes_on));
    }
  }
  unsigned cpu_count() const override { return static_cast<unsigned>(vcpus.size()); }
  FakeVcpu& vcpu(unsigned index) override { return *vcpus[index]; }
  uint64_t tsc_khz() const override { return 2'599'998; }
  void send(const bus::Message& message) override {
    std::lock_guard lock(mutex);
    messages.push_back(message);
  }
  void set_level_triggered_vectors(std::span<const uint64_t, 4>) override {}
  Result<> bind_doorbell(uint64_t, unsigned, int) override { return fail(ErrorCode::not_supported, "", ""); }
  void unbind_doorbell(uint64_t, unsigned, int) override {}
  Result<> bind_interrupt(int, const bus::Message&) override {
    return fail(ErrorCode::not_supported, "", "");
  }
  void unbind_interrupt(int) override {}
  Result<> fetch_dirty_log(uint64_t, std::span<uint64_t>) override {
    return fail(ErrorCode::not_supported, "", "");
  }

  memory::GuestMemory& memory;
  cpu::IoHandler& io;
  std::vector<std::unique_ptr<FakeVcpu>> vcpus;
  std::mutex mutex;
  std::vector<bus::Message> messages;
};

class FakeHypervisor final : public cpu::Hypervisor {
 public:
  // A program that goes on is called again after each pause.
  FakeHypervisor(Program program, FakeVm** made, bool goes_on = false)
      : program_(std::move(program)), made_(made), goes_on_(goes_on) {}
  std::string_view name() const override { return "fake"; }
  Result<std::unique_ptr<cpu::Vm>> create_vm(const cpu::VmOptions& options) override {
    auto vm = std::make_unique<FakeVm>(options, program_, goes_on_);
    *made_ = vm.get();
    return vm;
  }
  unsigned maximum_cpu_count() const override { return 8; }
  unsigned physical_address_bits() const override { return 36; }

 private:
  Program program_;
  FakeVm** made_;
  const bool goes_on_;
};

class Observer final : public MachineObserver {
 public:
  void on_stopped() override { count(stopped); }
  void on_error(Error error) override {
    last_error = error.what;
    count(errors);
  }
  void on_reboot() override { count(reboots); }
  void on_addresses_changed(size_t) override {}
  void on_network_error(size_t, Error) override {}
  void on_socket_request(uint64_t, uint32_t, uint32_t) override {}
  void on_console_port(size_t, size_t, uint64_t, bool) override {}
  void on_storage_detached(size_t number) override {
    last_detached = number;
    count(detached);
  }

  bool wait_for(int Observer::* counter, int value) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return this->*counter >= value; });
  }
  int stopped = 0, errors = 0, reboots = 0, detached = 0;
  std::string last_error;
  std::atomic<size_t> last_detached = 0;

 private:
  void count(int& counter) {
    std::lock_guard lock(mutex_);
    ++counter;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

template <class T>
void out(cpu::IoHandler& io, uint16_t port, T value) {
  io.port_write(port, std::as_bytes(std::span(&value, 1)));
}
template <class T>
T in(cpu::IoHandler& io, uint16_t port) {
  T value = 0;
  io.port_read(port, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

}  // namespace alcove::machine
