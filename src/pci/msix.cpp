#include "pci/msix.h"

#include <algorithm>
#include <cstring>

#include "spec/pci.h"

namespace alcove::pci {

using namespace spec::pci;

std::vector<std::byte> Msix::capability(unsigned bar, uint32_t table_offset, uint32_t pending_offset) const {
  struct [[gnu::packed]] Body {
    uint16_t control;
    uint32_t table;
    uint32_t pending;
  };
  const Body body{control(), table_offset | bar, pending_offset | bar};
  std::vector<std::byte> bytes(sizeof body);
  std::memcpy(bytes.data(), &body, sizeof body);
  return bytes;
}

std::vector<std::byte> Msix::capability_writable() {
  return {std::byte{0}, std::byte{(kMsixEnable | kMsixFunctionMask) >> 8}};
}

void Msix::set_control(uint16_t control) {
  std::lock_guard lock(mutex_);
  enabled_ = control & kMsixEnable;
  function_masked_ = control & kMsixFunctionMask;
  send_pending();
}

void Msix::reset() {
  std::lock_guard lock(mutex_);
  std::ranges::fill(entries_, Entry());
  pending_.assign(pending_.size(), false);
  enabled_ = function_masked_ = false;
}

bool Msix::notify(unsigned vector) {
  std::lock_guard lock(mutex_);
  if (!enabled_) return false;
  if (vector >= entries_.size()) return true;  // VIRTIO_MSI_NO_VECTOR and the like: nobody wants it.
  if (masked(vector)) {
    pending_[vector] = true;
  } else {
    send(vector);
  }
  return true;
}

void Msix::send(unsigned vector) {
  const Entry& entry = entries_[vector];
  sink_.send({uint64_t{entry.address_high} << 32 | entry.address_low, entry.data});
}

void Msix::send_pending() {
  if (!enabled_) return;
  for (unsigned vector = 0; vector < entries_.size(); ++vector) {
    if (!pending_[vector] || masked(vector)) continue;
    pending_[vector] = false;
    send(vector);
  }
}

bus::Access Msix::read_table(uint64_t offset, std::span<std::byte> data) {
  if (data.size() < 4 || offset % data.size()) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  if (offset >= entries_.size() * kMsixEntrySize) return bus::Access::no_register;
  std::memcpy(data.data(), reinterpret_cast<const std::byte*>(entries_.data()) + offset, data.size());
  return bus::Access::done;
}

bus::Access Msix::write_table(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() < 4 || offset % data.size()) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  if (offset >= entries_.size() * kMsixEntrySize) return bus::Access::no_register;
  std::memcpy(reinterpret_cast<std::byte*>(entries_.data()) + offset, data.data(), data.size());
  Entry& entry = entries_[offset / kMsixEntrySize];
  entry.control &= kMsixEntryMasked;
  entry.address_low &= ~3u;
  send_pending();
  return bus::Access::done;
}

bus::Access Msix::read_pending(uint64_t offset, std::span<std::byte> data) {
  if (data.size() < 4 || offset % data.size()) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  uint64_t bits = 0;
  for (unsigned bit = 0; bit < data.size() * 8; ++bit) {
    const uint64_t vector = offset * 8 + bit;
    if (vector < pending_.size() && pending_[vector]) bits |= uint64_t{1} << bit;
  }
  std::memcpy(data.data(), &bits, data.size());
  return bus::Access::done;
}

}  // namespace alcove::pci
