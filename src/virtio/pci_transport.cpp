#include "virtio/pci_transport.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "cpu/hypervisor.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"

namespace alcove::virtio {

using namespace spec::virtio;

namespace {

constexpr uint32_t kRegionSize = 0x1000;

uint32_t class_code(uint16_t device_id) {
  switch (device_id) {
    case kNetworkDevice:
      return spec::pci::kClassEthernet;
    case kBlockDevice:
      return spec::pci::kClassMassStorage;
    case kConsoleDevice:
      return spec::pci::kClassCommunication;
    case kGpuDevice:
      return spec::pci::kClassDisplay;
    case kInputDevice:
      return spec::pci::kClassInput;
    case kSoundDevice:
      return spec::pci::kClassMultimedia;
    default:
      return spec::pci::kClassUnclassified;
  }
}

pci::Identity identity(uint16_t device_id) {
  const auto id = static_cast<uint16_t>(kPciModernDevice + device_id);
  return {.vendor = kPciVendor,
          .device = id,
          .class_code = class_code(device_id),
          .revision = kPciModernRevision,
          .subsystem_vendor = kPciVendor,
          .subsystem = id};
}

std::vector<std::byte> capability(uint8_t type, uint32_t offset, uint32_t size, size_t extra = 0,
                                  uint32_t extra_value = 0) {
  const PciCapability body{
      .length = static_cast<uint8_t>(2 + sizeof body + extra), .type = type, .offset = offset, .size = size};
  std::vector<std::byte> bytes(sizeof body + extra);
  std::memcpy(bytes.data(), &body, sizeof body);
  std::memcpy(bytes.data() + sizeof body, &extra_value, extra);
  return bytes;
}

}  // namespace

PciTransport::PciTransport(Device& device, const PciTransportOptions& options)
    : Function(identity(device.device_id())),
      device_(device),
      options_(options),
      // One vector for each queue and one for the configuration.
      msix_(static_cast<unsigned>(device.queue_sizes().size()) + 1, *options.messages),
      bound_(device.queue_sizes().size()),
      queue_vectors_(device.queue_sizes().size()),
      configuration_vector_(kNoVector) {
  for (size_t i = 0; i < device.queue_sizes().size(); ++i) {
    doorbells_.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    queue_vectors_[i] = kNoVector;
  }
  state_ = initial_state();
  add_memory_bar(0, kBarSize, true);
  use_interrupt_pin(1);
  add_capability(spec::pci::kCapabilityVendor,
                 capability(kPciCommon, kCommonOffset, sizeof(PciCommonConfiguration)));
  add_capability(
      spec::pci::kCapabilityVendor,
      capability(kPciNotify, kNotifyOffset, queue_count() * kNotifyMultiplier, 4, kNotifyMultiplier));
  add_capability(spec::pci::kCapabilityVendor, capability(kPciIsr, kIsrOffset, 1));
  if (device.config_size() > 0) {
    add_capability(spec::pci::kCapabilityVendor, capability(kPciDevice, kDeviceOffset, device.config_size()));
  }
  // Section 4.1.4.9: bar, offset, length and data are the driver's to write.
  std::vector<std::byte> writable(sizeof(PciCapability) + 4);
  writable[offsetof(PciCapability, bar)] = std::byte{0xff};
  std::fill(writable.begin() + offsetof(PciCapability, offset), writable.end(), std::byte{0xff});
  if (const auto shared = device.shared_memory()) add_shared_memory(*shared);
  access_capability_ =
      add_capability(spec::pci::kCapabilityVendor, capability(kPciConfigurationAccess, 0, 0, 4), writable);
  msix_capability_ =
      add_capability(spec::pci::kCapabilityMsix, msix_.capability(0, kTableOffset, kPendingOffset),
                     pci::Msix::capability_writable());
}

// Section 4.1.4.7
void PciTransport::add_shared_memory(const SharedMemory& shared) {
  const uint64_t size = options_.memory->windows()[shared.window]->size();
  add_memory_bar(kSharedMemoryBar, std::bit_ceil(size), true, true);
  const PciCapability body{
      .length = static_cast<uint8_t>(2 + sizeof(PciCapability) + sizeof(PciSharedMemoryExtension)),
      .type = kPciSharedMemory,
      .bar = kSharedMemoryBar,
      .id = shared.id,
      .padding = {},
      .offset = 0,
      .size = static_cast<uint32_t>(size)};
  const PciSharedMemoryExtension extension{.offset_high = 0, .size_high = static_cast<uint32_t>(size >> 32)};
  std::vector<std::byte> bytes(sizeof body + sizeof extension);
  std::memcpy(bytes.data(), &body, sizeof body);
  std::memcpy(bytes.data() + sizeof body, &extension, sizeof extension);
  add_capability(spec::pci::kCapabilityVendor, bytes);
}

PciTransport::~PciTransport() {
  for (const pci::MemoryBar* bar : bars()) bar_moved(bar->index, std::nullopt);
  std::lock_guard lock(mutex_);
  reset_device();
}

void PciTransport::reset() {
  {
    std::lock_guard lock(mutex_);
    reset_device();
  }
  msix_.reset();
  Function::reset();
}

void PciTransport::pause() {
  std::lock_guard lock(mutex_);
  if (active_) device_.pause();
}

void PciTransport::resume() {
  std::lock_guard lock(mutex_);
  if (active_) device_.resume();
}

uint64_t PciTransport::offered_features() const {
  return device_.features() | kFeatureVersion1 | kFeatureEventIndex | kFeatureIndirectDescriptors;
}

PciTransport::State PciTransport::initial_state() const {
  State state;
  for (uint16_t size : device_.queue_sizes()) state.queues.push_back({.size = size});
  return state;
}

// Memory accesses.

bus::Access PciTransport::read_bar(unsigned bar, uint64_t offset, std::span<std::byte> data) {
  if (bar != 0) return bus::Access::no_register;  // Shared memory is where the guest's is.
  const uint64_t within = offset % kRegionSize;
  if (within + data.size() > kRegionSize) return bus::Access::bad_size;
  switch (offset - within) {
    case kCommonOffset: {
      std::lock_guard lock(mutex_);
      const auto value = read_common(within, data.size());
      if (!value) return bus::Access::bad_size;
      std::memcpy(data.data(), &*value, data.size());
      return bus::Access::done;
    }
    case kIsrOffset:
      if (within != 0 || data.size() != 1) return bus::Access::bad_size;
      data[0] = std::byte{read_isr()};
      return bus::Access::done;
    case kDeviceOffset: {
      const uint32_t size = device_.config_size();
      if (within >= size || data.size() > size - within) return bus::Access::no_register;
      std::lock_guard lock(mutex_);
      device_.read_config(static_cast<uint32_t>(within), data);
      return bus::Access::done;
    }
    case kTableOffset:
      return msix_.read_table(within, data);
    case kPendingOffset:
      return msix_.read_pending(within, data);
    default:
      return bus::Access::no_register;
  }
}

bus::Access PciTransport::write_bar(unsigned bar, uint64_t offset, std::span<const std::byte> data) {
  if (bar != 0) return bus::Access::no_register;
  const uint64_t within = offset % kRegionSize;
  if (within + data.size() > kRegionSize) return bus::Access::bad_size;
  switch (offset - within) {
    case kCommonOffset: {
      if (data.size() > 4) return bus::Access::bad_size;
      uint32_t value = 0;
      std::memcpy(&value, data.data(), data.size());
      std::lock_guard lock(mutex_);
      return write_common(within, data.size(), value);
    }
    case kDeviceOffset: {
      const uint32_t size = device_.config_size();
      if (within >= size || data.size() > size - within) return bus::Access::no_register;
      std::lock_guard lock(mutex_);
      device_.write_config(static_cast<uint32_t>(within), data);
      return bus::Access::done;
    }
    case kNotifyOffset:
      return notify(within);
    case kTableOffset:
      return msix_.write_table(within, data);
    default:
      return bus::Access::no_register;
  }
}

bus::Access PciTransport::notify(uint64_t offset) {
  if (offset / kNotifyMultiplier >= queue_count()) return bus::Access::no_register;
  eventfd_write(doorbells_[offset / kNotifyMultiplier].get(), 1);
  return bus::Access::done;
}

uint8_t PciTransport::read_isr() {
  std::lock_guard lock(interrupt_mutex_);
  const uint8_t isr = std::exchange(isr_, 0);
  set_interrupt(false);
  return isr;
}

// Interrupts.

void PciTransport::queue(unsigned index) {
  interrupt(queue_vectors_[index], kIsrQueue);
}

void PciTransport::configuration() {
  ++generation_;
  if (driver_ok_) interrupt(configuration_vector_, kIsrConfiguration);
}

void PciTransport::needs_reset() {
  if (!needs_reset_.exchange(true)) configuration();
}

void PciTransport::interrupt(uint16_t vector, uint8_t isr) {
  if (msix_.notify(vector)) return;
  std::lock_guard lock(interrupt_mutex_);
  isr_ |= isr;
  set_interrupt(true);
}

// Configuration space.

// The window that the driver chose in the PCI configuration access capability: offset and size.
std::optional<std::pair<uint32_t, uint32_t>> PciTransport::configuration_window() {
  const auto field = [&](size_t offset) { return static_cast<uint16_t>(access_capability_ + 2 + offset); };
  const uint32_t bar = get(field(offsetof(PciCapability, bar)), 1);
  const uint32_t offset = get(field(offsetof(PciCapability, offset)), 4);
  const uint32_t size = get(field(offsetof(PciCapability, size)), 4);
  // Section 4.1.4.9.2: 1, 2 or 4 bytes, aligned, within a BAR.
  if (bar != 0 || (size != 1 && size != 2 && size != 4) || offset % size || offset > kBarSize - size) {
    return std::nullopt;
  }
  return std::pair(offset, size);
}

void PciTransport::before_configuration_read(uint16_t offset, std::span<std::byte> registers) {
  const size_t data = access_capability_ + 2 + sizeof(PciCapability);
  if ((offset & ~3u) != data) return;
  const auto window = configuration_window();
  if (!window) return;
  const auto target = registers.subspan(data, window->second);
  if (read_bar(0, window->first, target) != bus::Access::done) std::ranges::fill(target, std::byte{0xff});
}

void PciTransport::after_configuration_write(uint16_t offset, size_t size) {
  const auto touches = [&](unsigned at, unsigned length) {
    return offset < at + length && at < offset + size;
  };
  if (touches(msix_capability_ + spec::pci::kMsixControl, 2)) {
    msix_.set_control(static_cast<uint16_t>(get(msix_capability_ + spec::pci::kMsixControl, 2)));
  }
  const auto data = static_cast<uint16_t>(access_capability_ + 2 + sizeof(PciCapability));
  if (!touches(data, 4) || size > 4) return;
  if (const auto window = configuration_window()) {
    const uint32_t value = get(data, 4);
    write_bar(0, window->first, std::as_bytes(std::span(&value, 1)).first(window->second));
  }
}

void PciTransport::bar_moved(unsigned bar, std::optional<uint64_t> address) {
  if (bar == kSharedMemoryBar) {
    return options_.memory->place_window(device_.shared_memory()->window,
                                         address.value_or(memory::FileWindow::kNowhere));
  }
  if (!options_.doorbells) return;
  // Drivers write 16 bits (section 4.1.5.2); other sizes still arrive at write_bar().
  for (unsigned index = 0; index < queue_count(); ++index) {
    const int fd = doorbells_[index].get();
    const uint64_t offset = kNotifyOffset + index * kNotifyMultiplier;
    if (bound_[index]) options_.doorbells->unbind_doorbell(bound_address_ + offset, 2, fd);
    bound_[index] = address && options_.doorbells->bind_doorbell(*address + offset, 2, fd).has_value();
  }
  bound_address_ = address.value_or(0);
}

}  // namespace alcove::virtio
