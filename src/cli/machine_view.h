// The view of a machine that runs in the foreground.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cli/running_machine.h"
#include "cli/view_options.h"

namespace alcove::cli {

class MachineView {
 public:
  // `wished`: called by RunningMachine::call_back() with what the user of a window wants.
  MachineView(RunningMachine& running, ViewOptions options, std::function<void(WindowWish)> wished)
      : running_(running), options_(std::move(options)), wished_(std::move(wished)) {}

  // Opens what the options say, a window that was closed again. Gives what to tell the user, if anything.
  Result<std::string> open();
  bool is_window() const { return std::holds_alternative<WindowViewOptions>(options_); }

 private:
  RunningMachine& running_;
  const ViewOptions options_;
  const std::function<void(WindowWish)> wished_;
  std::unique_ptr<RemoteView> remote_;
  std::unique_ptr<WindowView> window_;
};

}  // namespace alcove::cli
