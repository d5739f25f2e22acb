// Threads beside the application's.
#pragma once

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace alcove {

// Signals are for the application's threads. `name`: at most 15 characters.
template <class Function>
std::thread start_thread(const char* name, Function function) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([name, function = std::move(function)] {
    pthread_setname_np(pthread_self(), name);
    function();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace alcove
