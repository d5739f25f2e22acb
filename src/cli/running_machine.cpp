#include "cli/running_machine.h"

#include <sys/eventfd.h>

#include <future>

namespace alcove::cli {

namespace {

Result<> wait_for(const auto& operation) {
  std::promise<Result<>> promise;
  auto future = promise.get_future();
  operation([&](Result<> result) { promise.set_value(std::move(result)); });
  return future.get();
}

}  // namespace

Result<std::unique_ptr<RunningMachine>> RunningMachine::start(
    const VirtualMachineConfiguration& configuration) {
  auto machine = VirtualMachine::create(configuration);
  if (!machine) return std::unexpected(machine.error());
  std::unique_ptr<RunningMachine> running(new RunningMachine);
  running->machine_ = std::move(*machine);
  running->ended_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  auto started = wait_for([&](auto completion) { running->machine_->start(std::move(completion)); });
  if (!started) return std::unexpected(started.error());
  const auto tell = [fd = running->ended_.get()](VirtualMachineState state) {
    if (state == VirtualMachineState::stopped || state == VirtualMachineState::error) eventfd_write(fd, 1);
  };
  running->observation_ = running->machine_->observe({.state_changed = tell});
  tell(running->machine_->state());  // It may have ended before we were looking.
  return running;
}

Result<> RunningMachine::pause() {
  return wait_for([&](auto completion) { machine_->pause(std::move(completion)); });
}
Result<> RunningMachine::resume() {
  return wait_for([&](auto completion) { machine_->resume(std::move(completion)); });
}
Result<> RunningMachine::stop() {
  return wait_for([&](auto completion) { machine_->stop(std::move(completion)); });
}

}  // namespace alcove::cli
