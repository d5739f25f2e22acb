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

using Common = PciCommonConfiguration;

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

// The width of the common configuration's field at `offset`, which accesses must have (section 4.1.3.1); 0
// where none begins.
size_t common_field_size(uint64_t offset) {
  if (offset == offsetof(Common, device_status) || offset == offsetof(Common, config_generation)) return 1;
  const bool is_short =
      offset == offsetof(Common, config_msix_vector) || offset == offsetof(Common, num_queues) ||
      (offset >= offsetof(Common, queue_select) && offset <= offsetof(Common, queue_notify_off));
  if (is_short) return offset % 2 ? 0 : 2;
  return offset < sizeof(Common) && offset % 4 == 0 ? 4 : 0;
}

void set_half(uint64_t& whole, uint32_t which, uint32_t value) {
  if (which == 0) whole = (whole & 0xffff'ffff'0000'0000) | value;
  if (which == 1) whole = (whole & 0xffff'ffff) | uint64_t{value} << 32;
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
  access_capability_ =
      add_capability(spec::pci::kCapabilityVendor, capability(kPciConfigurationAccess, 0, 0, 4), writable);
  msix_capability_ =
      add_capability(spec::pci::kCapabilityMsix, msix_.capability(0, kTableOffset, kPendingOffset),
                     pci::Msix::capability_writable());
}

PciTransport::~PciTransport() {
  bar_moved(0, std::nullopt);
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

bus::Access PciTransport::read_bar(unsigned, uint64_t offset, std::span<std::byte> data) {
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

bus::Access PciTransport::write_bar(unsigned, uint64_t offset, std::span<const std::byte> data) {
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

// Common configuration, section 4.1.4.3.

std::optional<uint32_t> PciTransport::read_common(uint64_t offset, size_t size) {
  if (size != common_field_size(offset)) return std::nullopt;
  const bool has_queue = state_.queue_select < queue_count();
  const QueueSetup queue = has_queue ? state_.queues[state_.queue_select] : QueueSetup();
  const auto half = [](uint64_t value, uint32_t which) {
    return which < 2 ? static_cast<uint32_t>(value >> (32 * which)) : 0;
  };
  switch (offset) {
    case offsetof(Common, device_feature_select):
      return state_.device_feature_select;
    case offsetof(Common, device_feature):
      return half(offered_features(), state_.device_feature_select);
    case offsetof(Common, driver_feature_select):
      return state_.driver_feature_select;
    case offsetof(Common, driver_feature):
      return half(state_.driver_features, state_.driver_feature_select);
    case offsetof(Common, config_msix_vector):
      return configuration_vector_;
    case offsetof(Common, num_queues):
      return queue_count();
    case offsetof(Common, device_status):
      return state_.status | (needs_reset_ ? kStatusNeedsReset : 0);
    case offsetof(Common, config_generation):
      return generation_;
    case offsetof(Common, queue_select):
      return state_.queue_select;
    case offsetof(Common, queue_size):
      return queue.size;
    case offsetof(Common, queue_msix_vector):
      return has_queue ? queue_vectors_[state_.queue_select].load() : kNoVector;
    case offsetof(Common, queue_enable):
      return queue.enabled;
    case offsetof(Common, queue_notify_off):
      return has_queue ? state_.queue_select : 0;
    case offsetof(Common, queue_desc_low):
      return half(queue.addresses.descriptors, 0);
    case offsetof(Common, queue_desc_high):
      return half(queue.addresses.descriptors, 1);
    case offsetof(Common, queue_driver_low):
      return half(queue.addresses.driver, 0);
    case offsetof(Common, queue_driver_high):
      return half(queue.addresses.driver, 1);
    case offsetof(Common, queue_device_low):
      return half(queue.addresses.device, 0);
    case offsetof(Common, queue_device_high):
      return half(queue.addresses.device, 1);
    default:
      return std::nullopt;
  }
}

bus::Access PciTransport::write_common(uint64_t offset, size_t size, uint32_t value) {
  if (size != common_field_size(offset)) return bus::Access::bad_size;
  switch (offset) {
    case offsetof(Common, device_feature_select):
      state_.device_feature_select = value;
      break;
    case offsetof(Common, driver_feature_select):
      state_.driver_feature_select = value;
      break;
    case offsetof(Common, driver_feature):
      // Section 3.1.1: nothing changes once both sides agreed.
      if (!(state_.status & kStatusFeaturesOk))
        set_half(state_.driver_features, state_.driver_feature_select, value);
      break;
    case offsetof(Common, config_msix_vector):
      configuration_vector_ = checked_vector(value);
      break;
    case offsetof(Common, device_status):
      write_status(static_cast<uint8_t>(value));
      break;
    case offsetof(Common, queue_select):
      state_.queue_select = static_cast<uint16_t>(value);
      break;
    default:
      if (state_.queue_select < queue_count()) write_queue_register(state_.queue_select, offset, value);
  }
  return bus::Access::done;
}

void PciTransport::write_queue_register(unsigned index, uint64_t offset, uint32_t value) {
  if (offset == offsetof(Common, queue_msix_vector)) queue_vectors_[index] = checked_vector(value);
  QueueSetup& queue = state_.queues[index];
  if (queue.enabled) return;  // It stays as it is until reset.
  switch (offset) {
    case offsetof(Common, queue_size):
      if (std::has_single_bit(value) && value <= device_.queue_sizes()[index]) {
        queue.size = static_cast<uint16_t>(value);
      }
      break;
    case offsetof(Common, queue_enable):
      queue.enabled = value == 1;
      break;
    case offsetof(Common, queue_desc_low):
      set_half(queue.addresses.descriptors, 0, value);
      break;
    case offsetof(Common, queue_desc_high):
      set_half(queue.addresses.descriptors, 1, value);
      break;
    case offsetof(Common, queue_driver_low):
      set_half(queue.addresses.driver, 0, value);
      break;
    case offsetof(Common, queue_driver_high):
      set_half(queue.addresses.driver, 1, value);
      break;
    case offsetof(Common, queue_device_low):
      set_half(queue.addresses.device, 0, value);
      break;
    case offsetof(Common, queue_device_high):
      set_half(queue.addresses.device, 1, value);
      break;
    default:
      break;
  }
}

uint16_t PciTransport::checked_vector(uint32_t vector) const {
  // Section 4.1.5.1.2.1: a vector that cannot be had reads back as none.
  return vector < msix_.count() ? static_cast<uint16_t>(vector) : kNoVector;
}

// Status, section 2.1: bits are set one after another, and cleared only by reset.

void PciTransport::write_status(uint8_t status) {
  if (status == 0) return reset_device();
  const uint8_t added = status & ~state_.status;
  state_.status |= status & (kStatusAcknowledge | kStatusDriver | kStatusFailed);
  if (added & kStatusFeaturesOk) {
    const bool known = (state_.driver_features & ~offered_features()) == 0;
    // Refused by not setting the bit: the driver reads it back.
    if (known && state_.driver_features & kFeatureVersion1) state_.status |= kStatusFeaturesOk;
  }
  if (added & kStatusDriverOk && state_.status & kStatusFeaturesOk) {
    state_.status |= kStatusDriverOk;
    driver_ok_ = true;
    activate();
  }
}

void PciTransport::activate() {
  Activation activation{.memory = options_.memory, .features = state_.driver_features, .interrupts = this};
  for (unsigned index = 0; index < queue_count(); ++index) {
    const QueueSetup& setup = state_.queues[index];
    std::unique_ptr<Queue> queue;
    if (setup.enabled) {
      auto created = Queue::create(*options_.memory, setup.size, setup.addresses,
                                   state_.driver_features & kFeatureEventIndex, index, *this);
      if (!created) return needs_reset();
      queue = std::move(*created);
    }
    activation.queues.push_back(std::move(queue));
    activation.doorbells.push_back(doorbells_[index].get());
  }
  active_ = true;
  device_.activate(std::move(activation));
}

void PciTransport::reset_device() {
  if (active_) device_.deactivate();
  active_ = false;
  state_ = initial_state();
  driver_ok_ = false;
  needs_reset_ = false;
  configuration_vector_ = kNoVector;
  for (auto& vector : queue_vectors_) vector = kNoVector;
  for (const UniqueFd& doorbell : doorbells_) {
    eventfd_t ignored;
    eventfd_read(doorbell.get(), &ignored);
  }
  read_isr();
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

void PciTransport::bar_moved(unsigned, std::optional<uint64_t> address) {
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
