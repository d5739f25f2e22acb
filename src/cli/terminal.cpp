#include "cli/terminal.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace alcove::cli {

namespace {

// What signal handlers need; there is one terminal for the process.
termios original;
termios raw;
volatile sig_atomic_t is_raw = 0;

void restore() {
  if (!is_raw) return;
  is_raw = 0;
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &original);
  // What a guest may have left: colours, a hidden cursor, no wrapping, bracketed paste.
  constexpr std::string_view kUsual = "\x1b[0m\x1b[?25h\x1b[?7h\x1b[?2004l";
  if (isatty(STDOUT_FILENO)) [[maybe_unused]]
    const ssize_t written = ::write(STDOUT_FILENO, kUsual.data(), kUsual.size());
}

// Restores the terminal, then lets the signal do what it does without us.
void restore_and_die(int signal) {
  restore();
  struct sigaction fallback{};
  fallback.sa_handler = SIG_DFL;
  sigaction(signal, &fallback, nullptr);
  raise(signal);
}

}  // namespace

RawTerminal::RawTerminal() {
  if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &original) != 0) return;
  active_ = true;
  raw = original;
  cfmakeraw(&raw);
  raw.c_oflag |= OPOST | ONLCR;  // Our own messages end their lines as usual; the guest sends CR LF itself.
  std::atexit(restore);
  struct sigaction action{};
  action.sa_handler = restore_and_die;
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGQUIT}) sigaction(signal, &action, nullptr);
  enter();
}

RawTerminal::~RawTerminal() {
  leave();
}

void RawTerminal::leave() {
  restore();
}

void RawTerminal::enter() {
  if (!active_) return;
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
  is_raw = 1;
}

}  // namespace alcove::cli
