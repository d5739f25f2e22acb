// A VirtualMachine with its calls made to wait for their completions, and its end made pollable.
#pragma once

#include <alcove/alcove.h>

#include <memory>
#include <optional>

#include "support/unique_fd.h"

namespace alcove::cli {

class RunningMachine {
 public:
  static Result<std::unique_ptr<RunningMachine>> start(const VirtualMachineConfiguration& configuration);

  // Readable once the machine has stopped or failed.
  int ended() const { return ended_.get(); }
  // Then: nothing, or what ended it.
  std::optional<Error> error() const { return machine_->error(); }

  Result<> pause();
  Result<> resume();
  Result<> stop();
  Result<> request_stop() { return machine_->request_stop(); }
  VirtualMachine& machine() { return *machine_; }

 private:
  RunningMachine() = default;
  UniqueFd ended_;
  std::unique_ptr<VirtualMachine> machine_;
  Observation observation_;
};

}  // namespace alcove::cli
