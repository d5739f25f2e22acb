// How EDK II firmware keeps variables in flash: a firmware volume (UEFI Platform Initialization
// specification, volume 3, section 3.2.1) with a store of authenticated variables (EDK II,
// MdeModulePkg/Include/Guid/ VariableFormat.h). Little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace alcove::spec::efi {

using Guid = std::array<uint8_t, 16>;  // As it lies in memory: the first three fields are little-endian.

// FFF12B8D-7696-4C8B-A985-2747075B4F50
inline constexpr Guid kVariableVolume = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
                                         0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};
// AAF32C78-947B-439A-A180-2E144EC37792
inline constexpr Guid kAuthenticatedStore = {0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43,
                                             0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92};

inline constexpr uint32_t kVolumeSignature = 0x4856465f;  // "_FVH"

struct VolumeHeader {
  std::array<uint8_t, 16> zero{};
  Guid file_system{};
  uint64_t length = 0;
  uint32_t signature = 0;
  uint32_t attributes = 0;
  uint16_t header_length = 0;
  uint16_t checksum = 0;  // Makes the sum of the header's 16-bit words zero.
  uint16_t extended_header = 0;
  uint8_t reserved = 0;
  uint8_t revision = 0;
  // The block map follows: pairs of count and length, up to a pair of zeros.
};
static_assert(sizeof(VolumeHeader) == 56);

struct StoreHeader {
  Guid signature{};
  uint32_t size = 0;  // With this header.
  uint8_t format = 0;
  uint8_t state = 0;
  uint16_t reserved = 0;
  uint32_t reserved1 = 0;
};
static_assert(sizeof(StoreHeader) == 28);
inline constexpr uint8_t kFormatted = 0x5a, kHealthy = 0xfe;

struct [[gnu::packed]] VariableHeader {
  uint16_t start = 0;
  uint8_t state = 0;
  uint8_t reserved = 0;
  uint32_t attributes = 0;
  uint64_t monotonic_count = 0;
  std::array<uint8_t, 16> time{};
  uint32_t public_key_index = 0;
  uint32_t name_size = 0;  // In bytes, with the final zero; the name is UTF-16.
  uint32_t data_size = 0;
  Guid vendor{};
};
static_assert(sizeof(VariableHeader) == 60);
inline constexpr uint16_t kVariableStart = 0x55aa;
inline constexpr size_t kVariableAlignment = 4;
// States: bits are cleared one after the other.
inline constexpr uint8_t kAdded = 0x3f;
inline constexpr uint8_t kInDeletion = 0xfe;  // Together with kAdded: valid as long as there is no newer one.

// EFI_LOAD_OPTION (UEFI specification, section 3.1.3): these, then the description, then device paths.
struct [[gnu::packed]] LoadOption {
  uint32_t attributes = 0;
  uint16_t paths_length = 0;
};
static_assert(sizeof(LoadOption) == 6);
inline constexpr uint32_t kLoadOptionActive = 1;

// A node of a device path (section 10.3); media, file path (10.3.5.4) has a text in UTF-16.
struct [[gnu::packed]] DevicePathNode {
  uint8_t type = 0;
  uint8_t subtype = 0;
  uint16_t length = 0;  // With this header.
};
inline constexpr uint8_t kMediaPath = 4, kFilePath = 4, kEndOfPath = 0x7f;

}  // namespace alcove::spec::efi
