#include "pci/function.h"

#include <algorithm>
#include <cstring>

namespace alcove::pci {

using namespace spec::pci;

Function::Function(const Identity& identity) {
  set16(kVendorId, identity.vendor);
  set16(kDeviceId, identity.device);
  // Memory is decoded from the start, as firmware leaves it: a guest that was booted without one finds its
  // devices where the root put them.
  set16(kCommand, kCommandMemory,
        kCommandMemory | kCommandBusMaster | kCommandParity | kCommandSystemError | kCommandInterruptDisable);
  set8(kRevision, identity.revision);
  set8(kClassCode, static_cast<uint8_t>(identity.class_code));
  set16(kClassCode + 1, static_cast<uint16_t>(identity.class_code >> 8));
  set8(kCacheLineSize, 0, 0xff);
  set16(kSubsystemVendorId, identity.subsystem_vendor);
  set16(kSubsystemId, identity.subsystem);
  set8(kInterruptLine, 0, 0xff);
}

void Function::store(uint16_t offset, uint32_t value, unsigned size, uint32_t writable) {
  std::memcpy(registers_.data() + offset, &value, size);
  std::memcpy(initial_.data() + offset, &value, size);
  std::memcpy(writable_.data() + offset, &writable, size);
}
void Function::set8(uint16_t offset, uint8_t value, uint8_t writable) {
  store(offset, value, 1, writable);
}
void Function::set16(uint16_t offset, uint16_t value, uint16_t writable) {
  store(offset, value, 2, writable);
}
void Function::set32(uint16_t offset, uint32_t value, uint32_t writable) {
  store(offset, value, 4, writable);
}

uint32_t Function::get(uint16_t offset, unsigned size) const {
  uint32_t value = 0;
  std::memcpy(&value, registers_.data() + offset, size);
  return value;
}

void Function::add_memory_bar(unsigned index, uint64_t size, bool is_64_bit, bool prefetchable) {
  MemoryBar& bar = bar_storage_[index];
  bar.index = index;
  bar.size = size;
  bar.is_64_bit = is_64_bit;
  bar.is_prefetchable = prefetchable;
  bars_.push_back(&bar);
  const auto offset = static_cast<uint16_t>(kBar0 + 4 * index);
  const uint64_t writable = ~(size - 1);
  set32(offset, (is_64_bit ? kBar64Bit : 0) | (prefetchable ? kBarPrefetchable : 0),
        static_cast<uint32_t>(writable));
  if (is_64_bit) set32(offset + 4, 0, static_cast<uint32_t>(writable >> 32));
}

uint8_t Function::add_capability(uint8_t id, std::span<const std::byte> body,
                                 std::span<const std::byte> writable) {
  const uint16_t start = next_capability_;
  set8(last_link_, static_cast<uint8_t>(start));
  set16(kStatus, kStatusCapabilities);
  set8(start, id);
  for (size_t i = 0; i < body.size(); ++i) {
    set8(static_cast<uint16_t>(start + 2 + i), static_cast<uint8_t>(body[i]),
         i < writable.size() ? static_cast<uint8_t>(writable[i]) : 0);
  }
  last_link_ = start + 1;
  next_capability_ = (start + 2 + body.size() + 3) & ~size_t{3};  // Appendix H: doubleword aligned.
  return static_cast<uint8_t>(start);
}

void Function::connect_interrupt(bus::InterruptLine* line, uint8_t number) {
  line_ = line;
  set8(kInterruptLine, number, 0xff);
}

void Function::read_configuration(uint16_t offset, std::span<std::byte> data) {
  if (offset + data.size() > kConfigurationSize) {
    std::ranges::fill(data, std::byte{0});
    return;
  }
  std::lock_guard lock(mutex_);
  before_configuration_read(offset, registers_);
  std::memcpy(data.data(), registers_.data() + offset, data.size());
  if (offset <= kStatus && kStatus < offset + data.size()) {
    std::lock_guard interrupt_lock(interrupt_mutex_);
    if (interrupt_asserted_) data[kStatus - offset] |= std::byte{kStatusInterrupt};
  }
}

void Function::write_configuration(uint16_t offset, std::span<const std::byte> data) {
  if (offset + data.size() > kConfigurationSize) return;
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < data.size(); ++i) {
    const std::byte mask = writable_[offset + i];
    registers_[offset + i] = (registers_[offset + i] & ~mask) | (data[i] & mask);
  }
  if (offset < kBar0 + 4 * kBarCount) route_bars();
  if (offset <= kCommand + 1) drive_interrupt();
  after_configuration_write(offset, data.size());
}

void Function::route_bars() {
  const bool decoded = get(kCommand, 2) & kCommandMemory;
  for (MemoryBar* bar : bars_) {
    const auto offset = static_cast<uint16_t>(kBar0 + 4 * bar->index);
    uint64_t address = get(offset, 4) & ~uint64_t{0xf};
    if (bar->is_64_bit) address |= uint64_t{get(offset + 4, 4)} << 32;
    if (!decoded) address = MemoryBar::kNotDecoded;
    if (bar->address.exchange(address, std::memory_order_relaxed) == address) continue;
    bar_moved(bar->index, decoded ? std::optional(address) : std::nullopt);
  }
}

void Function::reset() {
  set_interrupt(false);
  std::lock_guard lock(mutex_);
  registers_ = initial_;
  for (const MemoryBar* bar : bars_) {
    if (bar->preassigned == MemoryBar::kNotDecoded) {
      registers_[kCommand] &= ~std::byte{kCommandMemory};
      continue;
    }
    const auto offset = static_cast<uint16_t>(kBar0 + 4 * bar->index);
    const uint64_t value = bar->preassigned | get(offset, 4);
    std::memcpy(registers_.data() + offset, &value, bar->is_64_bit ? 8 : 4);
  }
  route_bars();
  drive_interrupt();
  after_configuration_write(0, kConfigurationSize);
}

bus::Access Function::read_bar(unsigned, uint64_t, std::span<std::byte>) {
  return bus::Access::no_register;
}
bus::Access Function::write_bar(unsigned, uint64_t, std::span<const std::byte>) {
  return bus::Access::no_register;
}

void Function::disconnect_interrupt() {
  std::lock_guard lock(interrupt_mutex_);
  if (line_ && line_driven_) line_->set(false);
  line_ = nullptr;
  line_driven_ = false;
}

void Function::drive_interrupt() {
  const bool disabled = get(kCommand, 2) & kCommandInterruptDisable;
  std::lock_guard lock(interrupt_mutex_);
  interrupt_disabled_ = disabled;
  const bool drive = interrupt_asserted_ && !interrupt_disabled_;
  if (line_ && drive != line_driven_) line_->set(line_driven_ = drive);
}

void Function::set_interrupt(bool asserted) {
  std::lock_guard lock(interrupt_mutex_);
  interrupt_asserted_ = asserted;
  const bool drive = interrupt_asserted_ && !interrupt_disabled_;
  if (line_ && drive != line_driven_) line_->set(line_driven_ = drive);
}

}  // namespace alcove::pci
