// Command and transfer rings in guest memory (xHCI 1.2, sections 4.9.2 and 4.11.5).
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "memory/guest_memory.h"
#include "spec/xhci.h"

namespace alcove::usb {

struct RingPosition {
  uint64_t address = 0;
  bool cycle = true;

  // As pointers with a cycle bit stand in registers, contexts and commands.
  static RingPosition from(uint64_t pointer) {
    return {.address = pointer & ~uint64_t{0xF}, .cycle = (pointer & spec::xhci::kRingCycle) != 0};
  }
  uint64_t pointer() const { return address | (cycle ? spec::xhci::kRingCycle : 0); }
};

struct TdPart {
  spec::xhci::Trb trb;
  uint64_t address = 0;  // Of the TRB.
};

// A transfer descriptor: TRBs chained to each other, link TRBs left out.
struct Td {
  std::vector<TdPart> parts;
  RingPosition start, next;
};

enum class RingState { empty, broken };

// More than any driver makes. A guest that goes beyond has a ring without end.
inline constexpr size_t kMaximumTdParts = 8192;
inline constexpr unsigned kMaximumLinks = 64;  // Links that follow each other, with no other TRB between.

// The TD at a position. Empty: it is not there, or not whole yet. Broken: it has no end, or leaves memory.
std::expected<Td, RingState> read_td(const memory::GuestMemory& memory, RingPosition position);
// A single TRB, as on a command ring: chain bits mean nothing.
std::expected<Td, RingState> read_command(const memory::GuestMemory& memory, RingPosition position);

}  // namespace alcove::usb
