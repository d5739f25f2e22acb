// Wire facts of the remote frame buffer protocol (RFC 6143, and the community's registry of its extensions).
// Numbers are big-endian. No behaviour.
#pragma once

#include <cstdint>
#include <string_view>

namespace alcove::view::rfb {

inline constexpr std::string_view kVersion = "RFB 003.008\n";  // Section 7.1.1; older ones as long.

inline constexpr uint8_t kSecurityNone = 1;  // Section 7.1.2

// Section 7.5, and the registry.
enum class ClientMessage : uint8_t {
  set_pixel_format = 0,
  set_encodings = 2,
  framebuffer_update_request = 3,
  key_event = 4,
  pointer_event = 5,
  client_cut_text = 6,
  set_desktop_size = 251,
  qemu = 255,
};
inline constexpr uint8_t kQemuExtendedKeyEvent = 0;

inline constexpr uint8_t kFramebufferUpdate = 0;  // Section 7.6.1
inline constexpr uint8_t kServerCutText = 3;      // Section 7.6.4

// Section 7.7, and the registry.
inline constexpr int32_t kEncodingRaw = 0;
inline constexpr int32_t kEncodingTight = 7;
inline constexpr int32_t kEncodingZrle = 16;
inline constexpr int32_t kEncodingDesktopSize = -223;
inline constexpr int32_t kEncodingCursor = -239;
inline constexpr int32_t kEncodingQemuExtendedKey = -258;
inline constexpr int32_t kEncodingExtendedDesktopSize = -308;
inline constexpr int32_t kEncodingCursorWithAlpha = -314;
inline constexpr int32_t kEncodingExtendedClipboard = static_cast<int32_t>(0xc0a1e5ce);

// ExtendedDesktopSize: why, and how it went.
inline constexpr uint16_t kReasonServer = 0;
inline constexpr uint16_t kReasonThisClient = 1;
inline constexpr uint16_t kStatusProhibited = 1;
inline constexpr uint16_t kStatusInvalidLayout = 3;
inline constexpr uint16_t kStatusForwarded = 4;

// PointerEvent's button mask, section 7.5.5.
inline constexpr uint8_t kButtonLeft = 1;
inline constexpr uint8_t kButtonMiddle = 2;
inline constexpr uint8_t kButtonRight = 4;
inline constexpr uint8_t kWheelUp = 8;
inline constexpr uint8_t kWheelDown = 16;
inline constexpr uint8_t kWheelLeft = 32;
inline constexpr uint8_t kWheelRight = 64;
inline constexpr uint8_t kButtonBack = 128;

}  // namespace alcove::view::rfb
