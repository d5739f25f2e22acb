// The ends of a guest's first serial port that this process reads and writes.
#pragma once

#include <alcove/alcove.h>

#include <deque>
#include <string>
#include <string_view>

#include "support/unique_fd.h"

namespace alcove::cli {

class GuestConsole {
 public:
  // Gives the configuration's first serial port (added if there is none) pipes of ours, unless it is attached
  // to something already; then is_attached() is false and nothing ever comes or goes.
  static Result<GuestConsole> attach(VirtualMachineConfiguration& configuration);

  bool is_attached() const { return static_cast<bool>(output_); }
  int output() const { return output_.get(); }  // Readable when the guest has put something out; -1 if none.
  // What there is; empty if nothing.
  std::string read();
  // Keeps what the guest does not take yet, up to 64 KiB; more is dropped, as a full serial line does.
  void write(std::string_view input);
  bool has_unwritten() const { return !unwritten_.empty(); }
  int input() const { return input_.get(); }  // Writable when flush() would get on.
  void flush();
  // Our copies of the machine's ends: close them once the machine has its own.
  void close_machine_ends();

 private:
  UniqueFd output_, input_;
  UniqueFd machine_output_, machine_input_;
  std::string unwritten_;
};

}  // namespace alcove::cli
