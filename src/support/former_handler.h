// Handlers of the signals that faults raise. Each takes what is its own and passes on the rest.
#pragma once

#include <signal.h>

namespace alcove {

// What handled a signal before.
class FormerHandler {
 public:
  // On the thread's signal stack where it has one. Once for each object.
  void replace(int signal, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action{};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(signal, &action, &former_);
  }

  // From the handler. Where there was none, the access is repeated and ends the process.
  void pass_on(int number, siginfo_t* info, void* context) const {
    if (former_.sa_flags & SA_SIGINFO) {
      former_.sa_sigaction(number, info, context);
    } else if (former_.sa_handler != SIG_DFL && former_.sa_handler != SIG_IGN) {
      former_.sa_handler(number);
    } else {
      signal(number, SIG_DFL);
    }
  }

 private:
  struct sigaction former_{};
};

}  // namespace alcove
