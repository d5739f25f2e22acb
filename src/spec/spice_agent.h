// Wire facts of the SPICE agent's protocol: what a guest's spice-vdagent and its host say to each other
// ("Spice Agent protocol" of the SPICE project). All numbers are little-endian. No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::spice_agent {

// Bytes come in chunks, each for the client (who sees the guest) or for the server in between.
struct ChunkHeader {
  uint32_t port;
  uint32_t size;  // Of what follows.
};
static_assert(sizeof(ChunkHeader) == 8);
inline constexpr uint32_t kClientPort = 1;
inline constexpr uint32_t kLargestChunk = 2048;

// Put together, the client's chunks are messages.
struct [[gnu::packed]] MessageHeader {
  uint32_t protocol;
  uint32_t type;
  uint64_t opaque;
  uint32_t size;  // Of what follows.
};
static_assert(sizeof(MessageHeader) == 20);
inline constexpr uint32_t kProtocol = 1;

enum MessageType : uint32_t {
  kMonitorsConfiguration = 2,  // MonitorsHeader, then that many of Monitor.
  kClipboard = 4,              // Selection, form, then the contents.
  kAnnounceCapabilities = 6,   // Whether an answer is wanted, then words of capabilities.
  kClipboardGrab = 7,          // Selection, then the forms that there are.
  kClipboardRequest = 8,       // Selection, form.
  kClipboardRelease = 9,       // Selection.
  kMaxClipboard = 14,          // The most bytes that are taken.
};

// Bits of the capabilities' words.
enum Capability : unsigned {
  kMonitorsConfigurationCapability = 1,
  kClipboardByDemand = 5,
  kClipboardSelection = 6,  // Four bytes ahead of all clipboard messages, the first of them the selection.
  kGuestLineEndCrLf = 9,
  kMaxClipboardCapability = 10,
};

inline constexpr uint8_t kSelectionClipboard = 0;

struct MonitorsHeader {
  uint32_t count;
  uint32_t flags;
};
inline constexpr uint32_t kMonitorsHavePositions = 1;
struct Monitor {
  uint32_t height;
  uint32_t width;
  uint32_t depth;
  int32_t x;
  int32_t y;
};
static_assert(sizeof(Monitor) == 20);

enum Form : uint32_t {
  kNone = 0,
  kUtf8Text = 1,
  kPng = 2,
};

}  // namespace alcove::spec::spice_agent
