#include "devices/fs/dax_window.h"

#include <algorithm>
#include <cerrno>

namespace alcove::devices::fs {

namespace fuse = spec::fuse;
using share::failure;
using share::Outcome;

DaxWindow::DaxWindow(memory::GuestMemory& memory, size_t window, share::Server& server)
    : memory_(memory), window_(*memory.windows()[window]), server_(server), slots_(window_.slot_count()) {}

Outcome<DaxWindow::Range> DaxWindow::check(uint64_t offset, uint64_t length) const {
  if (offset % kSlotSize != 0 || length == 0) return failure(EINVAL);
  if (offset >= window_.size() || length > window_.size() - offset) return failure(EINVAL);
  return Range{offset / kSlotSize, (length + kSlotSize - 1) / kSlotSize};
}

Outcome<> DaxWindow::set_up(uint64_t node, const fuse::SetUpMappingIn& what) {
  const auto range = check(what.window_offset, what.length);
  if (!range) return failure(range.error());
  if (what.file_offset % kSlotSize != 0) return failure(EINVAL);
  if (what.file_offset > INT64_MAX - range->count * kSlotSize) return failure(EOVERFLOW);
  if (what.flags & ~(fuse::kMappingReads | fuse::kMappingWrites)) return failure(EINVAL);
  const bool is_written = what.flags & fuse::kMappingWrites;
  uint64_t clears;
  {
    const std::lock_guard lock(mutex_);
    clears = clears_;
  }
  const auto file = server_.open_to_map(node, is_written);
  if (!file) return failure(file.error());
  const std::lock_guard lock(mutex_);
  if (clears != clears_) return failure(ESTALE);  // The file may be one of another share.
  for (size_t i = 0; i < range->count; ++i) {
    const uint64_t offset = what.file_offset + i * kSlotSize;
    if (const int error = window_.show(range->first + i, file->get(), offset, is_written); error != 0) {
      changed({range->first, i});
      return failure(error);
    }
    slots_[range->first + i] = {.node = node, .offset = offset, .is_written = is_written};
  }
  changed(*range);
  return {};
}

Outcome<> DaxWindow::remove(std::span<const fuse::RemoveMappingOne> which) {
  const std::lock_guard lock(mutex_);
  for (const auto& one : which) {
    const auto range = check(one.window_offset, one.length);
    if (!range) return failure(range.error());
    window_.empty(range->first, range->count);
    std::fill_n(slots_.begin() + static_cast<ptrdiff_t>(range->first), range->count, Slot{});
    changed(*range);
  }
  return {};
}

void DaxWindow::clear() {
  const std::lock_guard lock(mutex_);
  ++clears_;
  if (std::ranges::all_of(slots_, [](const Slot& slot) { return slot.node == 0; })) return;
  window_.empty(0, slots_.size());
  std::ranges::fill(slots_, Slot{});
  changed({0, slots_.size()});
}

void DaxWindow::show_holes_again() {
  const std::lock_guard lock(mutex_);
  for (const size_t index : window_.take_holes()) {
    const Slot& slot = slots_[index];
    if (slot.node == 0) continue;
    // A file that is gone stays as it is.
    if (const auto file = server_.open_to_map(slot.node, slot.is_written))
      (void)window_.show(index, file->get(), slot.offset, slot.is_written);
    changed({index, 1});
  }
}

void DaxWindow::forget_code(uint64_t node) {
  const std::lock_guard lock(mutex_);
  for (size_t index = 0; index < slots_.size(); ++index)
    if (slots_[index].node == node) changed({index, 1});
}

void DaxWindow::changed(const Range& range) {
  const uint64_t address = window_.address();
  if (address == memory::FileWindow::kNowhere || range.count == 0) return;
  memory_.mark_written(address + range.first * kSlotSize, range.count * kSlotSize);
}

size_t DaxWindow::used_slots() {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::ranges::count_if(slots_, [](const Slot& slot) { return slot.node != 0; }));
}

}  // namespace alcove::devices::fs
