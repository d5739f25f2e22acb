// Has the host provide large pages before they are used, by a thread of its own. Memory that the host's own
// hypervisor has taken back meanwhile, or that must be cleared, takes milliseconds for each.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

namespace alcove::memory {

class Populator {
 public:
  Populator() = default;
  // Wishes that are left are not fulfilled.
  ~Populator();
  Populator(const Populator&) = delete;
  Populator& operator=(const Populator&) = delete;

  // The large page at `host` is going to be used soon; `mirror`, if not null, maps the same memory. They are
  // to stay mapped until they are claimed, or the populator ends. Any thread; doesn't wait. With many wishes
  // open, nothing happens.
  void ask(std::byte* host, std::byte* mirror = nullptr);
  // The large page is used now, or not at all any more: forgets the wish, or waits while it is being
  // fulfilled.
  void claim(const std::byte* host);

 private:
  struct Wish {
    std::byte* host = nullptr;
    std::byte* mirror = nullptr;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Wish, 16> wishes_;  // The oldest first.
  size_t count_ = 0;
  const std::byte* current_ = nullptr;
  bool ends_ = false;
  std::thread thread_;  // Once there was a wish.
};

// Memory that is filled from its beginning: has the next large page in time.
class FilledMemory {
 public:
  // `mirror`, if not null, maps the same memory.
  FilledMemory(Populator& populator, std::byte* begin, size_t size, std::byte* mirror = nullptr)
      : populator_(populator), begin_(begin), size_(size), mirror_(mirror) {}
  ~FilledMemory() { forget(); }
  FilledMemory(const FilledMemory&) = delete;
  FilledMemory& operator=(const FilledMemory&) = delete;

  // So many bytes are in use.
  void used(size_t size) {
    if (size > enough_) [[unlikely]]
      look_ahead(size);
  }
  // What is not in use has been, or is going to be, given back to the host.
  void forget();

 private:
  void look_ahead(size_t used);

  Populator& populator_;
  std::byte* begin_;
  size_t size_;
  std::byte* mirror_;
  size_t enough_ = 0;          // Up to there nothing is to be done.
  std::byte* next_ = nullptr;  // What was asked for last.
};

}  // namespace alcove::memory
