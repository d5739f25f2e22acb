// Brings EFI firmware into a PC's flash: its code, which the guest sees as read-only memory that ends at 4
// GiB.
#pragma once

#include <alcove/error.h>

#include <cstdint>

#include "memory/guest_memory.h"

namespace alcove::boot {

// The greatest size of code and variable store together: what PCs decode as flash.
inline constexpr uint64_t kLargestFirmware = 16 << 20;

// The size of an image that can be such firmware; errors name `field`.
Result<uint64_t> firmware_size(int image, std::string_view field);

// Copies it to the read-only region that ends at 4 GiB.
Result<> load_firmware(memory::GuestMemory& memory, int image, std::string_view field);

}  // namespace alcove::boot
