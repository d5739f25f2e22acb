// How the programs that Alcove starts begin: nothing of the terminal, and just the descriptors that they get.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <csignal>
#include <span>

#include "support/unique_fd.h"

namespace alcove::client {

// Owns the two objects that posix_spawn takes.
class SpawnPlan {
 public:
  // The process has what it complains of as its standard error, and the descriptors from 3 on; all of them
  // must be raised().
  SpawnPlan(const UniqueFd& complaints, std::span<const UniqueFd> descriptors) {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, complaints.get(), STDERR_FILENO);
    int number = STDERR_FILENO + 1;
    for (const UniqueFd& descriptor : descriptors)
      ::posix_spawn_file_actions_adddup2(&actions, descriptor.get(), number++);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, number);
    ::posix_spawnattr_init(&attributes);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    // A session of its own: the terminal's Ctrl-C is for the application, which decides what it means.
    ::posix_spawnattr_setflags(&attributes,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  // Above the numbers that the new process wants to have, so that moving one there can't close another.
  static UniqueFd raised(UniqueFd descriptor) {
    constexpr int kAbove = 16;
    return UniqueFd(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, kAbove));
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace alcove::client
