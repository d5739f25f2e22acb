// Reads a disk past the page cache: in order, and in random blocks.
// usage: disk SECONDS NAME=DEVICE…   (in /dev, or a path) prints disk-NAME-sequential in MB/s,
// disk-NAME-random in reads/s
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kSequential = 256 << 10, kRandom = 4096;
constexpr unsigned kThreads = 4;

struct Done {
  double bytes_per_second = 0, reads_per_second = 0;
  bool failed = false;
};

// Each thread reads by itself; `next` gives it the place.
template <class Next>
Done read_all(int file, unsigned threads, size_t block, double seconds, Next next) {
  std::atomic<uint64_t> count = 0;
  std::atomic<bool> failed = false;
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  std::vector<std::thread> readers;
  for (unsigned reader = 0; reader < threads; ++reader) {
    readers.emplace_back([&, reader] {
      void* const buffer = std::aligned_alloc(4096, block);
      uint64_t state = reader + 1;
      while (elapsed() < seconds) {
        if (::pread(file, buffer, block, static_cast<off_t>(next(state))) != static_cast<ssize_t>(block)) {
          failed = true;
          break;
        }
        ++count;
      }
      std::free(buffer);
    });
  }
  for (std::thread& reader : readers) reader.join();
  const double time = elapsed();
  const auto reads = static_cast<double>(count);
  return {reads * static_cast<double>(block) / time, reads / time, failed};
}

void measure(const std::string& name, const std::string& device, double seconds) {
  int file = -1;
  // As the first process it may be here before the device.
  for (int tries = 0; tries < 200 && (file = ::open(device.c_str(), O_RDONLY | O_DIRECT)) < 0; ++tries)
    ::usleep(100000);
  const off_t size = file < 0 ? 0 : ::lseek(file, 0, SEEK_END);
  if (size < static_cast<off_t>(kSequential)) {
    std::printf("disk-%s-sequential failed open\n", name.c_str());
    return;
  }
  const auto blocks = [&](size_t block) { return static_cast<uint64_t>(size) / block; };
  uint64_t at = 0;
  // Once through, so that the host has it in memory.
  read_all(file, 1, kSequential, 2, [&](uint64_t&) { return at++ % blocks(kSequential) * kSequential; });
  const Done sequential = read_all(file, 1, kSequential, seconds,
                                   [&](uint64_t&) { return at++ % blocks(kSequential) * kSequential; });
  const Done random = read_all(file, kThreads, kRandom, seconds, [&](uint64_t& state) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 20) % blocks(kRandom) * kRandom;
  });
  const char* const wrong = sequential.failed || random.failed ? "failed read\n" : nullptr;
  if (wrong) {
    std::printf("disk-%s-sequential %s", name.c_str(), wrong);
  } else {
    std::printf("disk-%s-sequential %.4g MB/s\n", name.c_str(), sequential.bytes_per_second / 1e6);
    std::printf("disk-%s-random %.4g reads/s\n", name.c_str(), random.reads_per_second);
  }
  std::fflush(stdout);
  ::close(file);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  std::puts("bench: runs");
  for (int index = 2; index < count; ++index) {
    const std::string disk = arguments[index];
    const size_t equals = disk.find('=');
    if (equals == std::string::npos) return 2;
    const std::string device = disk.substr(equals + 1);
    measure(disk.substr(0, equals), device.starts_with('/') ? device : "/dev/" + device,
            std::atof(arguments[1]));
  }
  std::puts("bench: done");
  std::fflush(stdout);
  if (::getpid() == 1) ::sleep(60);
}
