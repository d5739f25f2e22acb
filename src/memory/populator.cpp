#include "memory/populator.h"

#include <algorithm>
#include <span>

#include "memory/large_pages.h"
#include "support/thread.h"

namespace alcove::memory {

Populator::~Populator() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Populator::ask(std::byte* host, std::byte* mirror) {
  {
    const std::lock_guard lock(mutex_);
    const auto open = std::span(wishes_).first(count_);
    if (count_ == wishes_.size() || host == current_ ||
        std::ranges::find(open, host, &Wish::host) != open.end())
      return;
    wishes_[count_++] = {host, mirror};
    if (!thread_.joinable()) thread_ = start_thread("populator", [this] { run(); });
  }
  changed_.notify_all();
}

void Populator::claim(const std::byte* host) {
  std::unique_lock lock(mutex_);
  const auto open = std::span(wishes_).first(count_);
  const auto wish = std::ranges::find(open, host, &Wish::host);
  if (wish != open.end()) {
    std::move(wish + 1, open.end(), wish);
    --count_;
  }
  changed_.wait(lock, [&] { return current_ != host; });
}

void Populator::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || count_ != 0; });
    if (ends_) return;
    const Wish wish = wishes_[0];
    std::move(wishes_.begin() + 1, wishes_.begin() + static_cast<std::ptrdiff_t>(count_), wishes_.begin());
    --count_;
    current_ = wish.host;
    lock.unlock();
    provide_large_page(wish.host);
    if (wish.mirror) provide_large_page(wish.mirror);
    lock.lock();
    current_ = nullptr;
    changed_.notify_all();
  }
}

// From the middle of each large page on the next is wanted.
void FilledMemory::look_ahead(size_t used) {
  const auto large_page = [](std::byte* address) {
    return address + -reinterpret_cast<uintptr_t>(address) % kLargePageSize;
  };
  std::byte* const next = large_page(begin_ + used);
  const auto offset = static_cast<size_t>(next - begin_);
  if (used + kLargePageSize / 2 < offset) {
    enough_ = offset - kLargePageSize / 2;
    return;
  }
  enough_ = offset + kLargePageSize / 2;
  if (offset + kLargePageSize > size_) return;
  next_ = next;
  populator_.ask(next, mirror_ ? mirror_ + offset : nullptr);
}

void FilledMemory::forget() {
  if (next_) populator_.claim(next_);
  next_ = nullptr;
  enough_ = 0;
}

}  // namespace alcove::memory
