// This process's terminal, as the guest's console.
#pragma once

#include <termios.h>

#include <optional>

namespace alcove::cli {

// Puts the terminal of standard input into raw mode while it exists, if standard input is one. It is restored
// also when the process ends by a signal or exit().
class RawTerminal {
 public:
  RawTerminal();
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  bool is_terminal() const { return active_; }
  // Back to what it was, and raw again: for a moment's dialogue.
  void leave();
  void enter();

 private:
  bool active_ = false;
};

}  // namespace alcove::cli
