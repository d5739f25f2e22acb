#include "chips/ioapic.h"

#include <cstring>

#include "spec/ioapic.h"

namespace alcove::chips {

using namespace spec::ioapic;

namespace {

constexpr uint32_t kVersionRegister = 0x20 | (IoApic::kPins - 1) << 16;
constexpr uint64_t kReadOnlyBits = kDeliveryStatus | kRemoteIrr;
constexpr uint64_t kWritableBits = 0xff0000000001ffff & ~kReadOnlyBits;

unsigned delivery_mode(uint64_t entry) {
  return entry >> kDeliveryModeShift & kDeliveryModeMask;
}

// Only these two have an end of interrupt that clears the remote IRR; the others are always edges
// (82093AA, 3.2.4).
bool is_level(uint64_t entry) {
  return (entry & kLevelTriggered) &&
         (delivery_mode(entry) == kFixed || delivery_mode(entry) == kLowestPriority);
}

bus::Message message_of(uint64_t entry) {
  bus::Message message;
  message.address = kMessageBase | (entry >> kDestinationShift) << kMessageDestinationShift;
  if (entry & kLogicalDestination) message.address |= kMessageLogical;
  if (delivery_mode(entry) == kLowestPriority) message.address |= kMessageRedirectionHint;
  message.data = (entry & kVectorMask) | delivery_mode(entry) << kDeliveryModeShift | kMessageAssert;
  if (is_level(entry)) message.data |= kMessageLevel;
  return message;
}

}  // namespace

IoApic::IoApic(bus::MessageSink& sink, std::function<void(const LevelVectors&)> level_vectors_changed)
    : sink_(sink), level_vectors_changed_(std::move(level_vectors_changed)) {
  for (unsigned pin = 0; pin < kPins; ++pin) {
    lines_[pin].chip = this;
    lines_[pin].pin = pin;
  }
  entries_.fill(kMasked);
}

void IoApic::reset() {
  {
    std::lock_guard lock(mutex_);
    select_ = id_ = 0;
    entries_.fill(kMasked);
  }
  publish_level_vectors();
}

void IoApic::set_line(unsigned pin, bool asserted) {
  Outbox out;
  {
    std::lock_guard lock(mutex_);
    const bool edge = asserted && !asserted_[pin];
    asserted_[pin] = asserted;
    if (edge) deliver(pin, true, out);
  }
  send(out);
}

void IoApic::deliver(unsigned pin, bool edge, Outbox& out) {
  uint64_t& entry = entries_[pin];
  if (entry & kMasked) return;  // An edge on a masked pin is lost, a level waits (82093AA, 3.2.4).
  if (is_level(entry)) {
    if (!asserted_[pin] || (entry & kRemoteIrr)) return;
    entry |= kRemoteIrr;
  } else if (!edge) {
    return;
  }
  out.messages[out.count++] = message_of(entry);
}

void IoApic::send(const Outbox& out) {
  for (unsigned i = 0; i < out.count; ++i) sink_.send(out.messages[i]);
}

void IoApic::finish_vector(uint8_t vector, Outbox& out) {
  for (unsigned pin = 0; pin < kPins; ++pin) {
    uint64_t& entry = entries_[pin];
    if (!(entry & kRemoteIrr) || (entry & kVectorMask) != vector) continue;
    entry &= ~kRemoteIrr;
    deliver(pin, false, out);
  }
}

void IoApic::end_of_interrupt(uint8_t vector) {
  Outbox out;
  {
    std::lock_guard lock(mutex_);
    finish_vector(vector, out);
  }
  send(out);
}

uint32_t IoApic::read_register(uint8_t index) const {
  switch (index) {
    case kId:
    case kArbitration:
      return static_cast<uint32_t>(id_) << 24;
    case kVersion:
      return kVersionRegister;
    default:
      if (index < kRedirection || index >= kRedirection + 2 * kPins) return 0;
      return static_cast<uint32_t>(entries_[(index - kRedirection) / 2] >> (index % 2 ? 32 : 0));
  }
}

void IoApic::write_register(uint8_t index, uint32_t value, Outbox& out) {
  if (index == kId) {
    id_ = value >> 24 & 0xf;
    return;
  }
  if (index < kRedirection || index >= kRedirection + 2 * kPins) return;
  const unsigned pin = (index - kRedirection) / 2;
  uint64_t& entry = entries_[pin];
  const unsigned shift = index % 2 ? 32 : 0;
  const uint64_t written = uint64_t{0xffffffff} << shift;
  const uint64_t next = (entry & ~written) | static_cast<uint64_t>(value) << shift;
  entry = (next & kWritableBits) | (entry & kReadOnlyBits);
  // A pin that stops being level-triggered forgets that it waits for an end of interrupt.
  if (!is_level(entry)) entry &= ~kRemoteIrr;
  deliver(pin, false, out);
}

bus::Access IoApic::read(uint64_t offset, std::span<std::byte> data) {
  // Registers are 32 bits wide and may be accessed only so (82093AA, 3.0).
  if (data.size() != 4) return bus::Access::bad_size;
  uint32_t value = 0;
  {
    std::lock_guard lock(mutex_);
    if (offset == kSelect) {
      value = select_;
    } else if (offset == kWindow) {
      value = read_register(select_);
    } else if (offset != kEoi) {
      return bus::Access::no_register;
    }
  }
  std::memcpy(data.data(), &value, sizeof value);
  return bus::Access::done;
}

bus::Access IoApic::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 4) return bus::Access::bad_size;
  uint32_t value;
  std::memcpy(&value, data.data(), sizeof value);
  Outbox out;
  {
    std::lock_guard lock(mutex_);
    if (offset == kSelect) {
      select_ = static_cast<uint8_t>(value);
    } else if (offset == kWindow) {
      write_register(select_, value, out);
    } else if (offset == kEoi) {
      finish_vector(static_cast<uint8_t>(value), out);
    } else {
      return bus::Access::no_register;
    }
  }
  // First the set, so that the processors know a vector as level-triggered before it reaches them.
  if (offset == kWindow) publish_level_vectors();
  send(out);
  return bus::Access::done;
}

void IoApic::publish_level_vectors() {
  std::lock_guard publishing(publish_mutex_);
  LevelVectors vectors{};
  {
    std::lock_guard lock(mutex_);
    for (const uint64_t entry : entries_) {
      const unsigned vector = entry & kVectorMask;
      if (is_level(entry)) vectors[vector / 64] |= uint64_t{1} << vector % 64;
    }
  }
  if (vectors == published_) return;
  published_ = vectors;
  if (level_vectors_changed_) level_vectors_changed_(vectors);
}

}  // namespace alcove::chips
