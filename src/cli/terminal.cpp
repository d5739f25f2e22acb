#include "cli/terminal.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace alcove::cli {

namespace {

// What signal handlers need; there is one terminal for the process.
termios original;
termios raw;
volatile sig_atomic_t is_raw = 0;
int guardian = -1;  // See guard(); -1 if there is none.

constexpr char kRaw = 'r';
constexpr char kUsualAgain = 'u';

void tell_guardian(char state) {
  // It may have been killed, and this is no reason to die.
  if (guardian >= 0) (void)::send(guardian, &state, 1, MSG_NOSIGNAL);
}

void restore() {
  if (!is_raw) return;
  is_raw = 0;
  tell_guardian(kUsualAgain);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &original);
  // What a guest may have left: colours, a hidden cursor, no wrapping, bracketed paste.
  constexpr std::string_view kUsual = "\x1b[0m\x1b[?25h\x1b[?7h\x1b[?2004l";
  if (isatty(STDOUT_FILENO)) [[maybe_unused]]
    const ssize_t written = ::write(STDOUT_FILENO, kUsual.data(), kUsual.size());
}

// A process that restores the terminal when this one was killed and could not: it sees the other end of a
// socket close while the terminal is raw.
void guard() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  const pid_t child = fork();
  if (child != 0) {
    close(ends[1]);
    if (child > 0) guardian = ends[0];
    if (child < 0) close(ends[0]);
    return;
  }
  // Only system calls from here: other threads of the process are not there any more. In a session of its own
  // it may set the terminal whoever is in the foreground, and is not killed with our process group.
  setsid();
  prctl(PR_SET_NAME, "alcove-terminal");
  dup2(ends[1], STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, 0);
  char state = kRaw;
  while (true) {
    const ssize_t count = ::read(STDERR_FILENO, &state, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
  }
  if (state == kRaw) tcsetattr(STDIN_FILENO, TCSAFLUSH, &original);
  _exit(0);
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
  guard();
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
  tell_guardian(kRaw);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
  is_raw = 1;
}

}  // namespace alcove::cli
