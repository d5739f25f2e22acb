// A virtio device as a PCI function (virtio 1.2, section 4.1; modern only).
//
// BAR 0 holds everything: common configuration, ISR, device configuration, notifications, MSI-X. BAR 2 is the
// memory that device and driver share, where there is any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "memory/guest_memory.h"
#include "pci/function.h"
#include "pci/msix.h"
#include "support/unique_fd.h"
#include "virtio/device.h"

namespace alcove::cpu {
class Vm;
}

namespace alcove::virtio {

struct PciTransportOptions {
  memory::GuestMemory* memory = nullptr;
  bus::MessageSink* messages = nullptr;
  // Lets notifications signal the device's eventfds without leaving the guest's processor for long; null:
  // each goes through write_bar().
  cpu::Vm* doorbells = nullptr;
};

// Locks, outermost first: the function's configuration, mutex_ (which serialises calls to the device),
// interrupt_mutex_. Interrupts from the device take only the last, so that a device may drain its threads
// while it is being reset.
class PciTransport final : public pci::Function, private Interrupts {
 public:
  // The options' objects and the device outlive the transport; on destruction the device is deactivated.
  PciTransport(Device& device, const PciTransportOptions& options);
  ~PciTransport() override;

  // Power-on state; the device is deactivated. No processor runs.
  void reset() override;
  // The machine pauses: as Device's members of these names.
  void pause();
  void resume();

  bus::Access read_bar(unsigned bar, uint64_t offset, std::span<std::byte> data) override;
  bus::Access write_bar(unsigned bar, uint64_t offset, std::span<const std::byte> data) override;

  // Where things lie in BAR 0. Notifications have a page of their own.
  static constexpr uint32_t kCommonOffset = 0x0000, kIsrOffset = 0x1000, kDeviceOffset = 0x2000,
                            kNotifyOffset = 0x3000, kTableOffset = 0x4000, kPendingOffset = 0x5000,
                            kBarSize = 0x8000, kNotifyMultiplier = 4;
  static constexpr unsigned kSharedMemoryBar = 2;

 private:
  // What the driver set up for one queue.
  struct QueueSetup {
    uint16_t size = 0;
    bool enabled = false;
    QueueAddresses addresses;
  };
  // All that a reset through the status register forgets.
  struct State {
    uint8_t status = 0;
    uint32_t device_feature_select = 0, driver_feature_select = 0;
    uint64_t driver_features = 0;
    uint16_t queue_select = 0;
    std::vector<QueueSetup> queues;
  };

  // Interrupts, from the device's threads.
  void queue(unsigned index) override;
  void configuration() override;
  void needs_reset() override;
  void interrupt(uint16_t vector, uint8_t isr);

  void before_configuration_read(uint16_t offset, std::span<std::byte> registers) override;
  void after_configuration_write(uint16_t offset, size_t size) override;
  void bar_moved(unsigned bar, std::optional<uint64_t> address) override;

  uint64_t offered_features() const;
  State initial_state() const;
  std::optional<uint32_t> read_common(uint64_t offset, size_t size);
  bus::Access write_common(uint64_t offset, size_t size, uint32_t value);
  void write_queue_register(unsigned index, uint64_t offset, uint32_t value);
  void add_shared_memory(const SharedMemory& shared);
  void write_status(uint8_t status);
  void activate();
  void reset_device();
  uint8_t read_isr();
  bus::Access notify(uint64_t offset);
  std::optional<std::pair<uint32_t, uint32_t>> configuration_window();
  uint16_t checked_vector(uint32_t vector) const;
  unsigned queue_count() const { return static_cast<unsigned>(doorbells_.size()); }

  Device& device_;
  const PciTransportOptions options_;
  pci::Msix msix_;
  std::vector<UniqueFd> doorbells_;
  uint8_t msix_capability_ = 0;
  uint8_t access_capability_ = 0;
  std::vector<bool> bound_;  // Which doorbells the hypervisor serves, at bound_address_. Configuration lock.
  uint64_t bound_address_ = 0;

  std::mutex mutex_;  // Guards state_, active_ and calls to device_.
  State state_;
  bool active_ = false;

  // Read by interrupts without mutex_.
  std::vector<std::atomic<uint16_t>> queue_vectors_;
  std::atomic<uint16_t> configuration_vector_;
  std::atomic<uint8_t> generation_ = 0;
  std::atomic<bool> needs_reset_ = false;
  std::atomic<bool> driver_ok_ = false;

  std::mutex interrupt_mutex_;  // Guards isr_ and the INTx pin.
  uint8_t isr_ = 0;
};

}  // namespace alcove::virtio
