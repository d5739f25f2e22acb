// Threads beside the application's.
#pragma once

#include <pthread.h>

#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace alcove {

// As ps and top show it: the first 15 characters.
inline void name_thread(std::thread& thread, std::string_view name) {
  pthread_setname_np(thread.native_handle(), std::string(name.substr(0, 15)).c_str());
}

// For threads that need no signals: those are for the application's. But for a fault of the thread's own,
// which somebody may handle (memory/file_window.h), and which ends the process where it is blocked. `name`:
// at most 15 characters.
template <class Function>
std::thread start_thread(const char* name, Function function) {
  sigset_t all, before;
  sigfillset(&all);
  for (const int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([name, function = std::move(function)] {
    pthread_setname_np(pthread_self(), name);
    function();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace alcove
