// The DAX window (virtio 1.2, section 5.11.6.2): which slots of it show which part of which file. What the
// guest asks for is checked here.
//
// A processor may have looked up a place in the window before something else is shown there. It is then at
// the same address, of the guest and of the host, and sees what is there now: so nothing needs to be told to
// processors but that code there may have changed. To use a place that it has given up is a guest's own
// fault, and shows it nothing but what it has asked for since, or zeroes.
#pragma once

#include <mutex>
#include <vector>

#include "memory/guest_memory.h"
#include "share/server.h"
#include "spec/fuse.h"

namespace alcove::devices::fs {

// Any thread.
class DaxWindow {
 public:
  // One of the memory's windows.
  DaxWindow(memory::GuestMemory& memory, size_t window, share::Server& server);

  static constexpr uint64_t kSlotSize = memory::FileWindow::kSlotSize;
  // FUSE's map_alignment: offsets in files and window are those of slots.
  static constexpr uint16_t kAlignment = 21;
  static_assert(kSlotSize == uint64_t{1} << kAlignment);

  share::Outcome<> set_up(uint64_t node, const spec::fuse::SetUpMappingIn& what);
  // Up to the first that is not right.
  share::Outcome<> remove(std::span<const spec::fuse::RemoveMappingOne> which);
  // Nothing of what was shown is, and what is about to be will not be.
  void clear();

  // Shows again what has been behind the end of a file when the guest used it, as the file may have grown:
  // after a file was looked at, and before the guest is told what size it has.
  void mend() {
    if (window_.has_holes()) [[unlikely]]
      show_holes_again();
  }
  // The host may have written to the file since the guest looked at it last. What it sees in the window is
  // what is in the file; only code that was decoded from there is not.
  void forget_code(uint64_t node);

  size_t used_slots();

 private:
  struct Slot {
    uint64_t node = 0;  // 0: empty.
    uint64_t offset = 0;
    bool is_written = false;
  };
  struct Range {
    size_t first, count;
  };
  share::Outcome<Range> check(uint64_t offset, uint64_t length) const;
  void show_holes_again();
  void changed(const Range& range);

  memory::GuestMemory& memory_;
  memory::FileWindow& window_;
  share::Server& server_;
  std::mutex mutex_;  // Guards what follows.
  std::vector<Slot> slots_;
  uint64_t clears_ = 0;
};

}  // namespace alcove::devices::fs
