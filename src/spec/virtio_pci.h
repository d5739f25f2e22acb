// Wire facts of virtio over PCI (virtio 1.2, section 4.1). No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::virtio {

inline constexpr uint16_t kPciVendor = 0x1AF4;
inline constexpr uint16_t kPciModernDevice = 0x1040;  // Plus the device type; section 4.1.2.
inline constexpr uint8_t kPciModernRevision = 1;

// Section 4.1.4: the body of struct virtio_pci_cap, after id and link.
struct [[gnu::packed]] PciCapability {
  uint8_t length;  // Of the whole capability.
  uint8_t type;
  uint8_t bar;
  uint8_t id;
  uint8_t padding[2];
  uint32_t offset;
  uint32_t size;
};
static_assert(sizeof(PciCapability) == 14);

inline constexpr uint8_t kPciCommon = 1;
inline constexpr uint8_t kPciNotify = 2;  // Followed by notify_off_multiplier, 32 bits.
inline constexpr uint8_t kPciIsr = 3;
inline constexpr uint8_t kPciDevice = 4;
inline constexpr uint8_t kPciConfigurationAccess = 5;  // Followed by pci_cfg_data, 32 bits.

inline constexpr uint8_t kPciSharedMemory = 8;

// Section 4.1.4.7: what follows in the capability of shared memory, whose PciCapability has the lower halves.
struct PciSharedMemoryExtension {
  uint32_t offset_high;
  uint32_t size_high;
};

// Section 4.1.4.3, common configuration.
struct PciCommonConfiguration {
  uint32_t device_feature_select;
  uint32_t device_feature;
  uint32_t driver_feature_select;
  uint32_t driver_feature;
  uint16_t config_msix_vector;
  uint16_t num_queues;
  uint8_t device_status;
  uint8_t config_generation;
  uint16_t queue_select;
  uint16_t queue_size;
  uint16_t queue_msix_vector;
  uint16_t queue_enable;
  uint16_t queue_notify_off;
  uint32_t queue_desc_low, queue_desc_high;
  uint32_t queue_driver_low, queue_driver_high;
  uint32_t queue_device_low, queue_device_high;
};
static_assert(sizeof(PciCommonConfiguration) == 56);
static_assert(offsetof(PciCommonConfiguration, queue_select) == 0x16);
static_assert(offsetof(PciCommonConfiguration, queue_desc_low) == 0x20);

inline constexpr uint16_t kNoVector = 0xffff;

// Section 4.1.4.5, ISR status.
inline constexpr uint8_t kIsrQueue = 1;
inline constexpr uint8_t kIsrConfiguration = 2;

}  // namespace alcove::spec::virtio
