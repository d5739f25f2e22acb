// Files in the guest's address space: a range of it that shows the host's pages of files, a slot each, where
// a device's base address register says. It is not the guest's memory: no ring or table may lie there, but
// buffers may.
//
// Whatever the guest does there, its place in this process is always mapped and may be read and written, so a
// pointer into it that somebody keeps leads to something that the guest may see:
//   - an empty slot is memory of zeroes, which the guest may write to its own harm;
//   - a slot that shows a file to be written is shared with it;
//   - one that shows a file to be read is a private mapping: the file's pages until the guest writes one,
//     against its word, and a copy of that page from then on;
//   - what is behind the end of a file, where the host has no page (SIGBUS), becomes zeroes when it is first
//     used, until the file is shown again: see has_holes(). So do pages that the host fails to read, and of
//     those that it has no room to write, there is a copy.
#pragma once

#include <alcove/error.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace alcove::memory {

// Any thread.
class FileWindow {
 public:
  static constexpr uint64_t kSlotSize = 2 << 20;
  static constexpr uint64_t kNowhere = uint64_t{1} << 63;  // No address of a guest's, by far.

  // `size`: of whole slots, not 0.
  static Result<std::unique_ptr<FileWindow>> create(uint64_t size);
  ~FileWindow();
  FileWindow(const FileWindow&) = delete;
  FileWindow& operator=(const FileWindow&) = delete;

  std::byte* host() const { return host_; }
  uint64_t size() const { return size_; }
  size_t slot_count() const { return size_ / kSlotSize; }
  // Where the guest sees it; kNowhere if it doesn't. GuestMemory::place_window() changes it.
  uint64_t address() const { return address_.load(std::memory_order_relaxed); }

  // Shows a slot's size of a file from `offset` on. Gives an errno, and nothing has changed, if the host
  // refuses.
  int show(size_t slot, int file, uint64_t offset, bool writable);
  void empty(size_t slot, size_t count);

  // Whether there are slots in which parts of files have become zeroes, that may be more than that by now.
  bool has_holes() const { return has_holes_.load(std::memory_order_relaxed); }
  // Those slots; they count as whole again.
  std::vector<size_t> take_holes();

  // Has zeroes where the host has no page at present, and copies where it can't have pages written if those
  // are asked for. For accesses that aren't the process's own, and so give no signal.
  void fill_holes(bool also_written);
  // The same for one place that can't be read, or can't be written if it `is_written`; false if it is not of
  // the window. From a signal's handler.
  bool fill_hole(std::byte* at, bool is_written);

 private:
  friend class GuestMemory;
  explicit FileWindow(uint64_t size);
  void fill(std::byte* from, std::byte* to, size_t slot);
  void copy(std::byte* page, size_t slot);
  void copy_slot(size_t slot);
  void has_hole(size_t slot);

  // Held for some system calls, on threads that do not use what is in the window meanwhile; and by a signal's
  // handler, which a mutex is not for.
  class Lock {
   public:
    explicit Lock(std::atomic_flag& flag) : flag_(flag) {
      while (flag_.test_and_set(std::memory_order_acquire)) flag_.wait(true, std::memory_order_relaxed);
    }
    ~Lock() {
      flag_.clear(std::memory_order_release);
      flag_.notify_one();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    std::atomic_flag& flag_;
  };

  const uint64_t size_;
  std::byte* host_ = nullptr;
  std::atomic<uint64_t> address_ = kNowhere;
  std::atomic_flag busy_;
  std::atomic<bool> has_holes_ = false;
  std::vector<std::atomic<bool>> holes_;  // By slot.
  enum class Shown : uint8_t { nothing, to_read, to_write };
  std::vector<std::atomic<Shown>> shows_;
};

}  // namespace alcove::memory
