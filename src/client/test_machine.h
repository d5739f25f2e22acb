// For tests: a folder with a kernel and a disk, and machines whose process is tests/fake_machine.
#pragma once

#include <alcove/alcove.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>

#include "support/testing/temporary_folder.h"

namespace alcove::client {

constexpr std::chrono::seconds kPatience{20};

// A completion whose result can be waited for. It fails the test if it is called twice.
template <class T = void>
class Outcome {
 public:
  Completion<T> completion() {
    auto promise = promise_;
    return [promise](Result<T> result) { promise->set_value(std::move(result)); };
  }
  Result<T> get() {
    auto future = promise_->get_future();
    if (future.wait_for(kPatience) != std::future_status::ready) {
      return fail(ErrorCode::internal, "", "the completion was not called in time");
    }
    return future.get();
  }

 private:
  std::shared_ptr<std::promise<Result<T>>> promise_ = std::make_shared<std::promise<Result<T>>>();
};

class MachineTest : public testing::Test {
 protected:
  MachineTest() {
    std::ofstream(folder / "kernel") << "kernel";
    std::ofstream(folder / "disk") << "";
    std::filesystem::resize_file(folder / "disk", 1 << 20);
  }

  // `behaviour`: words of tests/fake_machine/main.cpp.
  VirtualMachineConfiguration configuration(std::string behaviour = "") const {
    return {.boot_loader = LinuxBootLoader{.kernel = folder / "kernel", .command_line = std::move(behaviour)},
            .hypervisor = HypervisorChoice::soft};
  }
  VirtioBlockDeviceConfiguration disk(bool read_only = false) const {
    return {.attachment = DiskImageStorageDeviceAttachment{.path = folder / "disk", .read_only = read_only}};
  }
  static VirtualMachineOptions options() { return {.machine_program = ALCOVE_FAKE_VM}; }
  static std::unique_ptr<VirtualMachine> create(VirtualMachineConfiguration configuration) {
    auto machine = VirtualMachine::create(std::move(configuration), options());
    EXPECT_TRUE(machine) << machine.error().message();
    return machine ? *std::move(machine) : nullptr;
  }
  std::unique_ptr<VirtualMachine> create(std::string behaviour = "") const {
    return create(configuration(std::move(behaviour)));
  }
  std::unique_ptr<VirtualMachine> running(VirtualMachineConfiguration configuration) const {
    auto machine = create(std::move(configuration));
    auto started = start(*machine);
    EXPECT_TRUE(started) << started.error().message();
    return machine;
  }
  std::unique_ptr<VirtualMachine> running(std::string behaviour = "") const {
    return running(configuration(std::move(behaviour)));
  }

  static Result<> start(VirtualMachine& machine) {
    Outcome outcome;
    machine.start(outcome.completion());
    return outcome.get();
  }
  static Result<> pause(VirtualMachine& machine) {
    Outcome outcome;
    machine.pause(outcome.completion());
    return outcome.get();
  }
  static Result<> resume(VirtualMachine& machine) {
    Outcome outcome;
    machine.resume(outcome.completion());
    return outcome.get();
  }
  static Result<> stop(VirtualMachine& machine) {
    Outcome outcome;
    machine.stop(outcome.completion());
    return outcome.get();
  }

  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
};

inline ErrorCode code_of(const Result<>& result) {
  EXPECT_FALSE(result) << "succeeded";
  return result ? ErrorCode{} : result.error().code;
}

}  // namespace alcove::client
