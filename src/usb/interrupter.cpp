#include "usb/interrupter.h"

#include <algorithm>
#include <atomic>

namespace alcove::usb {

using namespace spec::xhci;

namespace {

constexpr uint64_t kTableMask = ~uint64_t{0x3F};
constexpr uint64_t kRingPointerMask = ~uint64_t{0xF};
constexpr uint64_t kTableEntrySize = 16;

void set_half(uint64_t& whole, bool high, uint32_t value) {
  whole = high ? (whole & 0xFFFFFFFF) | uint64_t{value} << 32 : (whole & ~uint64_t{0xFFFFFFFF}) | value;
}

}  // namespace

uint32_t Interrupter::read(uint32_t offset) const {
  switch (offset) {
    case kManagement:
      return registers_.management;
    case kModeration:
      return registers_.moderation;
    case kSegmentTableSize:
      return registers_.segment_count;
    case kSegmentTable:
      return static_cast<uint32_t>(registers_.segment_table);
    case kSegmentTable + 4:
      return static_cast<uint32_t>(registers_.segment_table >> 32);
    case kEventDequeue:
      return static_cast<uint32_t>(registers_.dequeue);
    case kEventDequeue + 4:
      return static_cast<uint32_t>(registers_.dequeue >> 32);
    default:
      return 0;
  }
}

void Interrupter::write(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kManagement:
      if (value & kInterruptPending) clear_pending();
      registers_.management = (registers_.management & kInterruptPending) | (value & kInterruptEnable);
      break;
    case kModeration:
      // Kept, not waited for: a handler that is busy holds interrupts back by itself, and a virtual one pays
      // for a late interrupt with time, not with work.
      registers_.moderation = value;
      break;
    case kSegmentTableSize:
      registers_.segment_count = std::min(value & 0xFFFF, kMaximumSegments);
      break;
    case kSegmentTable:
    case kSegmentTable + 4:
      set_half(registers_.segment_table, offset != kSegmentTable, value);
      registers_.segment_table &= kTableMask;
      ring_ = {};  // Read anew when the first event comes: both halves are there by then.
      break;
    case kEventDequeue: {
      const bool was_busy = registers_.dequeue & kEventHandlerBusy;
      const bool busy = was_busy && !(value & kEventHandlerBusy);
      set_half(registers_.dequeue, false, (value & ~static_cast<uint32_t>(kEventHandlerBusy)));
      if (busy) registers_.dequeue |= kEventHandlerBusy;
      break;
    }
    case kEventDequeue + 4:
      set_half(registers_.dequeue, true, value);
      break;
    default:
      break;
  }
  // Events that the handler has not seen yet interrupt anew.
  if (offset >= kEventDequeue && ring_.loaded && !(registers_.dequeue & kEventHandlerBusy) &&
      (registers_.dequeue & kRingPointerMask) != ring_.enqueue) {
    raise();
  }
}

void Interrupter::raise() {
  raised_ = true;
  registers_.management |= kInterruptPending;
  if (registers_.dequeue & kEventHandlerBusy) return;
  registers_.dequeue |= kEventHandlerBusy;
  due_ = true;
}

bool Interrupter::enter_segment(Ring& ring, uint32_t segment) const {
  const uint64_t entry = registers_.segment_table + segment * kTableEntrySize;
  const auto base = memory_.get().load<uint64_t>(entry);
  const auto size = memory_.get().load<uint32_t>(entry + 8);
  if (!base || !size || (*size & 0xFFFF) < 2) return false;
  ring.segment = segment;
  ring.enqueue = *base & kTableMask;
  ring.left = *size & 0xFFFF;
  return true;
}

Interrupter::Put Interrupter::put(const Trb& event) {
  if (!ring_.loaded) {
    if (registers_.segment_count == 0 || !enter_segment(ring_, 0)) return Put::broken;
    ring_.loaded = true;
  }
  Ring next = ring_;
  next.enqueue += sizeof(Trb);
  if (--next.left == 0) {
    const uint32_t segment = ring_.segment + 1 < registers_.segment_count ? ring_.segment + 1 : 0;
    if (!enter_segment(next, segment)) return Put::broken;
    if (segment == 0) next.cycle = !next.cycle;
  }
  if (next.enqueue == (registers_.dequeue & kRingPointerMask)) return Put::full;
  // The guest takes an event as soon as it sees its cycle bit.
  const uint32_t control = (event.control & ~kTrbCycle) | (ring_.cycle ? kTrbCycle : 0);
  if (!memory_.get().store(ring_.enqueue, event.parameter) ||
      !memory_.get().store(ring_.enqueue + 8, event.status)) {
    return Put::broken;
  }
  std::atomic_thread_fence(std::memory_order_release);
  if (!memory_.get().store(ring_.enqueue + 12, control)) return Put::broken;
  ring_ = next;
  return Put::done;
}

bool Interrupter::push(const Trb& event, bool blocks_interrupt) {
  if (waiting_.size() == kMostWaiting) {
    waiting_.clear();
    return false;
  }
  if (!waiting_.empty()) {
    waiting_.push_back(event);
    return flush();
  }
  switch (put(event)) {
    case Put::broken:
      return false;
    case Put::full:
      waiting_.push_back(event);
      break;
    case Put::done:
      if (!blocks_interrupt) raise();
      break;
  }
  return true;
}

bool Interrupter::flush() {
  while (!waiting_.empty()) {
    switch (put(waiting_.front())) {
      case Put::broken:
        waiting_.clear();
        return false;
      case Put::full:
        return true;
      case Put::done:
        waiting_.pop_front();
        raise();
        break;
    }
  }
  return true;
}

}  // namespace alcove::usb
