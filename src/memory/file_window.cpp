#include "memory/file_window.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "memory/guest_memory.h"
#include "memory/large_pages.h"
#include "support/former_handler.h"

namespace alcove::memory {
namespace {

constexpr int kAccess = PROT_READ | PROT_WRITE;

// All of the process, for the signal's handler.
constexpr size_t kMostWindows = 64;
std::array<std::atomic<FileWindow*>, kMostWindows> windows;
FormerHandler former;

bool is_write([[maybe_unused]] void* context) {
#ifdef __x86_64__
  constexpr greg_t kWrite = 1 << 1;  // Intel SDM vol. 3, section 4.7
  return static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & kWrite;
#else
  return true;
#endif
}

void handle(int number, siginfo_t* info, void* context) {
  const int error = errno;
  if (info->si_code == BUS_ADRERR) {
    for (const auto& entry : windows) {
      FileWindow* const window = entry.load(std::memory_order_acquire);
      if (!window || !window->fill_hole(static_cast<std::byte*>(info->si_addr), is_write(context))) continue;
      errno = error;
      return;  // The access is repeated.
    }
  }
  former.pass_on(number, info, context);
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] { former.replace(SIGBUS, handle); });
}

// Whether the host has pages all over that can be read, or written, too; has it get them. Linux 5.14 and
// later can tell.
bool is_there(std::byte* at, size_t size) {
  constexpr int kPopulateRead = 22;
  return madvise(at, size, kPopulateRead) == 0;
}
bool is_writable(std::byte* at, size_t size) {
  constexpr int kPopulateWrite = 23;
  return madvise(at, size, kPopulateWrite) == 0;
}

// By the kernel, as an access that fails in a handler ends the process. If it does, nothing is read.
void read_what_is_there(std::byte* into, std::byte* page, size_t size) {
  const iovec to{into, size}, from{page, size};
  (void)process_vm_readv(getpid(), &to, 1, &from, 1, 0);
}

}  // namespace

FileWindow::FileWindow(uint64_t size) : size_(size), holes_(slot_count()), shows_(slot_count()) {}

Result<std::unique_ptr<FileWindow>> FileWindow::create(uint64_t size) {
  const auto refuse = [](std::string what) { return fail(ErrorCode::internal, "", std::move(what)); };
  if (size == 0 || size % kSlotSize != 0) return refuse("a window's size is no multiple of 2 MiB");
  std::unique_ptr<FileWindow> window(new FileWindow(size));
  void* const host = reserve_for_large_pages(size, kAccess);
  if (host == MAP_FAILED)
    return refuse(
        fmt::format("the host has no addresses for a window of {} MiB: {}", size >> 20, strerror(errno)));
  window->host_ = static_cast<std::byte*>(host);
  if (!is_there(window->host_, kPageSize))
    return fail(ErrorCode::not_supported, "", "this host can't tell which pages of files there are",
                "DAX windows need Linux 5.14");
  install_handler();
  for (auto& entry : windows) {
    FileWindow* none = nullptr;
    if (entry.compare_exchange_strong(none, window.get())) return window;
  }
  return refuse(fmt::format("a process has at most {} windows", kMostWindows));
}

FileWindow::~FileWindow() {
  for (auto& entry : windows) {
    FileWindow* self = this;
    entry.compare_exchange_strong(self, nullptr);
  }
  if (host_) munmap(host_, size_);
}

int FileWindow::show(size_t slot, int file, uint64_t offset, bool writable) {
  // Elsewhere first: what can fail does so there, and leaves no gap where others' memory could come to be.
  const int flags = (writable ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE;
  void* const mapped = mmap(nullptr, kSlotSize, kAccess, flags, file, static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) return errno;
  std::byte* const place = host_ + slot * kSlotSize;
  const Lock lock(busy_);
  if (mremap(mapped, kSlotSize, kSlotSize, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED) {
    const int error = errno;
    munmap(mapped, kSlotSize);
    // mremap(2) looks for room before it unmaps. If it did not, nobody can say any more whose memory it is.
    std::array<unsigned char, kSlotSize / kPageSize> resident;
    if (mincore(place, kSlotSize, resident.data()) != 0) std::abort();
    return error;
  }
  holes_[slot].store(false, std::memory_order_relaxed);
  shows_[slot].store(writable ? Shown::to_write : Shown::to_read, std::memory_order_relaxed);
  return 0;
}

void FileWindow::empty(size_t slot, size_t count) {
  if (count == 0) return;
  const Lock lock(busy_);
  // Otherwise nothing would keep the guest from what is not its own any more.
  if (mmap(host_ + slot * kSlotSize, count * kSlotSize, kAccess,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
    std::abort();
  for (size_t i = slot; i < slot + count; ++i) {
    holes_[i].store(false, std::memory_order_relaxed);
    shows_[i].store(Shown::nothing, std::memory_order_relaxed);
  }
}

std::vector<size_t> FileWindow::take_holes() {
  std::vector<size_t> slots;
  if (!has_holes_.exchange(false)) return slots;
  for (size_t slot = 0; slot < holes_.size(); ++slot)
    if (holes_[slot].exchange(false, std::memory_order_relaxed)) slots.push_back(slot);
  return slots;
}

void FileWindow::has_hole(size_t slot) {
  holes_[slot].store(true, std::memory_order_relaxed);
  has_holes_.store(true);
}

void FileWindow::fill(std::byte* from, std::byte* to, size_t slot) {
  if (mmap(from, static_cast<size_t>(to - from), kAccess,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
    return copy_slot(slot);
  has_hole(slot);
}

void FileWindow::copy(std::byte* page, size_t slot) {
  void* const made = mmap(nullptr, kPageSize, kAccess, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (made == MAP_FAILED) return copy_slot(slot);
  read_what_is_there(static_cast<std::byte*>(made), page, kPageSize);
  if (mremap(made, kPageSize, kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED) {
    munmap(made, kPageSize);
    return copy_slot(slot);
  }
  has_hole(slot);
}

// Where the process has as many mappings as it may have (/proc/sys/vm/max_map_count), each page of its own
// taking two: the slot becomes one again. What is written to it meanwhile may be lost.
void FileWindow::copy_slot(size_t slot) {
  std::byte* const begin = host_ + slot * kSlotSize;
  static std::array<std::byte, kSlotSize> contents;  // There may be no mapping to be had.
  static std::atomic_flag taken;                     // By another window.
  const Lock lock(taken);
  contents.fill({});
  for (size_t at = 0; at < kSlotSize; at += kPageSize)
    read_what_is_there(contents.data() + at, begin + at, kPageSize);
  if (mmap(begin, kSlotSize, kAccess, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
      MAP_FAILED)
    std::abort();
  std::memcpy(begin, contents.data(), kSlotSize);
  has_hole(slot);
}

bool FileWindow::fill_hole(std::byte* at, bool is_written) {
  if (at < host_ || at >= host_ + size_) return false;
  const auto offset = static_cast<size_t>(at - host_);
  std::byte* const page = host_ + offset / kPageSize * kPageSize;
  const size_t slot = offset / kSlotSize;
  std::byte* const end = host_ + (slot + 1) * kSlotSize;
  const Lock lock(busy_);
  // Another file may be there by now, or more of this one.
  if (is_there(page, kPageSize)) {
    if (is_written && !is_writable(page, kPageSize)) copy(page, slot);
    return true;
  }
  // Behind a file's end are no pages up to the slot's. What the host fails to read is elsewhere, too.
  const bool is_end = !is_there(end - kPageSize, kPageSize);
  fill(page, is_end ? end : page + kPageSize, slot);
  return true;
}

void FileWindow::fill_holes(bool also_written) {
  for (size_t slot = 0; slot < shows_.size(); ++slot) {
    std::byte* const begin = host_ + slot * kSlotSize;
    const Shown shown = shows_[slot].load(std::memory_order_relaxed);
    const auto is_usable = [&](std::byte* at, size_t size) {
      return also_written && shown == Shown::to_write ? is_writable(at, size) : is_there(at, size);
    };
    if (shown == Shown::nothing || is_usable(begin, kSlotSize)) continue;
    const Lock lock(busy_);
    for (std::byte* page = begin; page < begin + kSlotSize; page += kPageSize) {
      if (!is_there(page, kPageSize))
        fill(page, page + kPageSize, slot);
      else if (!is_usable(page, kPageSize))
        copy(page, slot);
    }
  }
}

}  // namespace alcove::memory
