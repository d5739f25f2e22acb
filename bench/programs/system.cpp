// What the kernel is asked for: a system call, switching between two processes, page faults, processes.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "row.h"

namespace {

uint64_t system_calls(uint64_t rounds) {
  uint64_t same = 0;
  const long parent = syscall(SYS_getppid);
  for (uint64_t i = 0; i < rounds * 100; ++i) same += syscall(SYS_getppid) == parent;
  return same;
}

// A child that sends back each byte it gets, increased.
class Echo {
 public:
  Echo() {
    if (pipe(there_) || pipe(back_)) std::exit(1);
    child_ = fork();
    if (child_) return;
    close(there_[1]);
    char byte;
    while (read(there_[0], &byte, 1) == 1) {
      ++byte;
      if (write(back_[1], &byte, 1) != 1) break;
    }
    _exit(0);
  }
  ~Echo() {
    close(there_[1]);
    waitpid(child_, nullptr, 0);
  }
  uint64_t rounds(uint64_t count) {
    char byte = 0;
    for (; count; --count) {
      if (write(there_[1], &byte, 1) != 1 || read(back_[0], &byte, 1) != 1) return ~uint64_t{0};
    }
    return static_cast<unsigned char>(byte);
  }

 private:
  int there_[2], back_[2];
  pid_t child_;
};

constexpr size_t kPages = 256;
uint64_t page_faults(uint64_t rounds) {
  uint64_t sum = 0;
  for (; rounds; --rounds) {
    void* const memory =
        mmap(nullptr, kPages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return ~uint64_t{0};
    // Pages one by one, also where the kernel would give large ones unasked.
    madvise(memory, kPages * 4096, MADV_NOHUGEPAGE);
    auto* const bytes = static_cast<volatile char*>(memory);
    for (size_t page = 0; page < kPages; ++page) {
      bytes[page * 4096] = 1;
      sum += bytes[page * 4096 + 1] == 0;
    }
    munmap(memory, kPages * 4096);
  }
  return sum;
}

uint64_t forks(uint64_t rounds) {
  uint64_t sum = 0;
  for (; rounds; --rounds) {
    const pid_t child = fork();
    if (!child) _exit(3);
    int status = 0;
    waitpid(child, &status, 0);
    sum += WEXITSTATUS(status);
  }
  return sum;
}

uint64_t executions(uint64_t rounds) {
  uint64_t sum = 0;
  for (; rounds; --rounds) {
    const pid_t child = fork();
    if (!child) {
      execl("/proc/self/exe", "system", "exit", nullptr);
      _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    sum += WEXITSTATUS(status);
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && !std::strcmp(argv[1], "exit")) return 5;
  const bench::Rows rows(argc, argv);
  rows.rate("system-call", "kcalls/s", 100 / 1e3, 2, 200, system_calls);
  if (rows.wants("pipe")) {
    Echo echo;
    rows.rate("pipe", "krounds/s", 1 / 1e3, 7, 7, [&](uint64_t count) { return echo.rounds(count); });
  }
  rows.rate("page-fault", "kfaults/s", kPages / 1e3, 2, 2 * kPages, page_faults);
  rows.rate("fork", "forks/s", 1, 2, 6, forks);
  rows.rate("fork-exec", "execs/s", 1, 2, 10, executions);
}
