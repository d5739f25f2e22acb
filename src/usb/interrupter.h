// An xHCI interrupter: its registers and its event ring in guest memory (xHCI 1.2, sections 4.9.4, 4.17 and
// 5.5.2). Its owner serialises all calls.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "memory/guest_memory.h"
#include "spec/xhci.h"

namespace alcove::usb {

class Interrupter {
 public:
  static constexpr uint32_t kMaximumSegments = 16;

  explicit Interrupter(memory::GuestMemory& memory) : memory_(memory) {}

  void reset() { *this = Interrupter(memory_); }
  uint32_t read(uint32_t offset) const;
  void write(uint32_t offset, uint32_t value);

  // Puts the event into the ring, or keeps it while that is full. False if the guest's ring is not in memory,
  // or if more events wait than one that takes them ever leaves.
  bool push(const spec::xhci::Trb& event, bool blocks_interrupt);
  // Puts kept events into the ring, as far as there is room; false as above.
  bool flush();
  bool has_room() const { return waiting_.empty(); }

  // Whether an interrupt is due: taken, so told once.
  bool take_interrupt() { return std::exchange(due_, false); }
  // Whether events came since the last call.
  bool take_raised() { return std::exchange(raised_, false); }
  bool is_enabled() const { return registers_.management & spec::xhci::kInterruptEnable; }
  bool is_pending() const { return registers_.management & spec::xhci::kInterruptPending; }
  void clear_pending() { registers_.management &= ~spec::xhci::kInterruptPending; }

 private:
  struct Registers {
    uint32_t management = 0;
    uint32_t moderation = 4000;
    uint32_t segment_count = 0;
    uint64_t segment_table = 0;
    uint64_t dequeue = 0;
  };
  struct Ring {
    bool loaded = false;
    uint32_t segment = 0;
    uint64_t enqueue = 0;
    uint32_t left = 0;  // Entries of the segment from `enqueue` on.
    bool cycle = true;
  };
  static constexpr size_t kMostWaiting = 64 << 10;
  enum class Put { done, full, broken };
  Put put(const spec::xhci::Trb& event);
  bool enter_segment(Ring& ring, uint32_t segment) const;
  void raise();

  std::reference_wrapper<memory::GuestMemory> memory_;
  Registers registers_;
  Ring ring_;
  std::deque<spec::xhci::Trb> waiting_;
  bool due_ = false;
  bool raised_ = false;
};

}  // namespace alcove::usb
