// The part of PciTransport that the driver sets the device up with.
#include <sys/eventfd.h>

#include <bit>
#include <cstddef>

#include "spec/virtio.h"
#include "spec/virtio_pci.h"
#include "virtio/pci_transport.h"

namespace alcove::virtio {

using namespace spec::virtio;
using Common = PciCommonConfiguration;

namespace {

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

// Section 4.1.4.3.

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

}  // namespace alcove::virtio
