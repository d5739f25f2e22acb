// The controller's registers (xHCI 1.2, chapter 5). Virtual CPUs' threads.
#include <cstring>

#include "usb/xhci.h"

namespace alcove::usb {

using namespace spec::xhci;

namespace {

constexpr uint32_t kSegmentsExponent = 4;  // Interrupter::kMaximumSegments
static_assert(1u << kSegmentsExponent == Interrupter::kMaximumSegments);

constexpr uint32_t protocol(uint32_t major, uint32_t next) {
  return kCapabilityProtocol | next << 8 | major << 24;
}

}  // namespace

bus::Access Xhci::read_bar(unsigned, uint64_t offset, std::span<std::byte> data) {
  if (offset >= kPending) return msix_.read_pending(offset - kPending, data);
  if (offset >= kTable) return msix_.read_table(offset - kTable, data);
  if (data.size() == 8 && offset % 4 == 0) {
    const std::lock_guard lock(mutex_);
    const std::array<uint32_t, 2> words = {read_register(static_cast<uint32_t>(offset)),
                                           read_register(static_cast<uint32_t>(offset) + 4)};
    std::memcpy(data.data(), words.data(), sizeof words);
    return bus::Access::done;
  }
  if (offset % data.size() || data.size() > 4) return bus::Access::bad_size;
  const std::lock_guard lock(mutex_);
  const uint32_t word = read_register(static_cast<uint32_t>(offset) & ~3u);
  std::memcpy(data.data(), reinterpret_cast<const std::byte*>(&word) + offset % 4, data.size());
  return bus::Access::done;
}

bus::Access Xhci::write_bar(unsigned, uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kPending) return bus::Access::no_register;
  if (offset >= kTable) return msix_.write_table(offset - kTable, data);
  if ((data.size() != 4 && data.size() != 8) || offset % 4) return bus::Access::bad_size;
  {
    const std::lock_guard lock(mutex_);
    for (size_t at = 0; at < data.size(); at += 4) {
      uint32_t value = 0;
      std::memcpy(&value, data.data() + at, sizeof value);
      write_register(static_cast<uint32_t>(offset + at), value);
    }
    deliver_interrupts();
  }
  post_work();
  return bus::Access::done;
}

uint32_t Xhci::read_register(uint32_t offset) const {
  if (offset < kOperational) return read_capability(offset);
  if (offset < kCapabilities) return read_operational(offset - kOperational);
  if (offset < kRuntime) return read_extended(offset - kCapabilities);
  if (offset == kRuntime + kMicroframeIndex) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint32_t>(now / std::chrono::microseconds(125)) & 0x3FFF;
  }
  if (offset >= kRuntime + kInterrupterRegisters && offset < kDoorbells) {
    const uint32_t at = offset - kRuntime - kInterrupterRegisters;
    if (at / kInterrupterSize < kInterrupters) {
      return interrupters_[at / kInterrupterSize].read(at % kInterrupterSize);
    }
  }
  return 0;
}

uint32_t Xhci::read_capability(uint32_t offset) const {
  switch (offset) {
    case kCapLength:
      return kOperational | kVersion << 16;
    case kHcsParams1:
      return kSlots | kInterrupters << 8 | kPortCount << 24;
    case kHcsParams2:
      return kSegmentsExponent << 4;
    case kHccParams1:
      return kHcc64Bit | kHccNoSecondaryStreams | kLargestStreamArray << 12 | kCapabilities / 4 << 16;
    case kDoorbellOffset:
      return kDoorbells;
    case kRuntimeOffset:
      return kRuntime;
    default:
      return 0;
  }
}

// Supported protocol capabilities, section 7.2: which ports are USB 3 and which USB 2.
uint32_t Xhci::read_extended(uint32_t offset) const {
  switch (offset) {
    case 0x00:
      return protocol(3, 4);
    case 0x08:
      return 1 | kSuperPorts << 8;
    case 0x10:
      return protocol(2, 0);
    case 0x18:
      return (kSuperPorts + 1) | kHighPorts << 8;
    case 0x04:
    case 0x14:
      return kProtocolName;
    default:
      return 0;
  }
}

uint32_t Xhci::read_operational(uint32_t offset) const {
  if (offset >= kPorts) {
    const uint32_t index = (offset - kPorts) / kPortSize;
    return index < kPortCount && offset % kPortSize == 0 ? ports_[index].read() : 0;
  }
  switch (offset) {
    case kUsbCommand:
      return command_;
    case kUsbStatus:
      return status_;
    case kPageSize:
      return 1;  // 4 KiB.
    case kDeviceNotification:
      return notification_;
    case kCommandRing:
      return command_ring_running_ ? static_cast<uint32_t>(kRingRunning) : 0;
    case kContextArray:
      return static_cast<uint32_t>(context_array_);
    case kContextArray + 4:
      return static_cast<uint32_t>(context_array_ >> 32);
    case kConfigure:
      return configure_;
    default:
      return 0;
  }
}

void Xhci::write_register(uint32_t offset, uint32_t value) {
  if (offset >= kDoorbells) return ring_doorbell((offset - kDoorbells) / 4, value);
  if (offset >= kRuntime + kInterrupterRegisters) {
    const uint32_t at = offset - kRuntime - kInterrupterRegisters;
    if (at / kInterrupterSize >= kInterrupters) return;
    Interrupter& interrupter = interrupters_[at / kInterrupterSize];
    const bool had_room = interrupter.has_room();
    interrupter.write(at % kInterrupterSize, value);
    if (!had_room) wake();
    return;
  }
  if (offset >= kOperational && offset < kCapabilities) write_operational(offset - kOperational, value);
}

void Xhci::write_operational(uint32_t offset, uint32_t value) {
  if (offset >= kPorts) {
    const uint32_t index = (offset - kPorts) / kPortSize;
    if (index >= kPortCount || offset % kPortSize) return;
    if (ports_[index].write(value)) port_changed(index);
    if (!ports_[index].is_resetting()) return;
    // Devices hear of it in the strand's turn alone.
    resetting_ports_[index] = true;
    return wake();
  }
  switch (offset) {
    case kUsbCommand:
      return write_command(value);
    case kUsbStatus:
      status_ &= ~(value & (kStatusSystemError | kStatusEvent | kStatusPortChange));
      break;
    case kDeviceNotification:
      notification_ = value & 0xFFFF;
      break;
    case kCommandRing:
      if (command_ring_running_) {
        if (value & (kRingStop | kRingAbort)) {
          command_ring_running_ = false;
          complete_command(command_ring_.address, Completion::command_ring_stopped, 0);
        }
        break;
      }
      command_ring_.address = (command_ring_.address & ~uint64_t{0xFFFFFFFF}) | (value & ~0x3Fu);
      command_ring_.cycle = value & kRingCycle;
      break;
    case kCommandRing + 4:
      if (command_ring_running_) break;
      command_ring_.address = (command_ring_.address & 0xFFFFFFFF) | uint64_t{value} << 32;
      break;
    case kContextArray:
      context_array_ = (context_array_ & ~uint64_t{0xFFFFFFFF}) | (value & ~0x3Fu);
      break;
    case kContextArray + 4:
      context_array_ = (context_array_ & 0xFFFFFFFF) | uint64_t{value} << 32;
      break;
    case kConfigure:
      configure_ = value & 0xFF;
      break;
    default:
      break;
  }
}

void Xhci::write_command(uint32_t value) {
  constexpr uint32_t kKept = kCommandRun | kCommandInterrupts | kCommandSystemErrors | kCommandWrapEvent;
  if (reset_requested_) return;
  const bool ran = command_ & kCommandRun;
  command_ = value & kKept;
  if (status_ & kStatusControllerError) command_ &= ~kCommandRun;
  const bool runs = command_ & kCommandRun;
  if (value & kCommandReset) {
    command_ |= kCommandReset;
    reset_requested_ = true;
    wake();
  } else if (runs && !ran) {
    status_ &= ~kStatusHalted;
    for (unsigned index = 0; index < kPortCount; ++index) {
      if (ports_[index].has_change()) port_changed(index);
    }
    ring_all();
    wake();
  } else if (ran && !runs) {
    wake();
  }
}

void Xhci::ring_doorbell(uint32_t slot, uint32_t value) {
  if (slot > kSlots || !(command_ & kCommandRun) || reset_requested_) return;
  if (slot == 0) {
    if ((value & 0xFF) != 0) return;
    command_ring_running_ = true;
    return wake();
  }
  const uint32_t context = value & 0xFF;
  if (!slots_[slot].enabled || context == 0 || context > kMaximumContext) return;
  doorbells_.emplace(slot, value & 0xFFFF'00FF);
  wake();
}

}  // namespace alcove::usb
