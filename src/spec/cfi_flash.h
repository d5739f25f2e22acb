// NOR flash with the Intel command set (Intel StrataFlash datasheet; JEDEC JEP137 command set 0x0001), as far
// as firmware's variable store uses it.
#pragma once

#include <cstdint>

namespace alcove::spec::cfi_flash {

inline constexpr uint8_t kReadArray = 0xff;
inline constexpr uint8_t kReadStatus = 0x70;
inline constexpr uint8_t kClearStatus = 0x50;
inline constexpr uint8_t kReadIdentifier = 0x90;
inline constexpr uint8_t kReadQuery = 0x98;
inline constexpr uint8_t kProgram = 0x40, kProgramAlternate = 0x10;  // The next write is the data.
inline constexpr uint8_t kWriteToBuffer = 0xe8;
inline constexpr uint8_t kBlockErase = 0x20;
inline constexpr uint8_t kLockSetup = 0x60;
inline constexpr uint8_t kConfirm = 0xd0;

namespace status {
inline constexpr uint8_t ready = 0x80;
inline constexpr uint8_t erase_error = 0x20;
inline constexpr uint8_t program_error = 0x10;
}  // namespace status

inline constexpr uint8_t kErased = 0xff;

}  // namespace alcove::spec::cfi_flash
