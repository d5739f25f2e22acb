#include "usb/ring.h"

#include <atomic>

namespace alcove::usb {

using namespace spec::xhci;

namespace {

std::expected<Trb, RingState> read_trb(const memory::GuestMemory& memory, const RingPosition& position) {
  // The cycle bit says that the rest is there, so it is read first.
  const auto control = memory.load<uint32_t>(position.address + 12);
  if (!control) return std::unexpected(RingState::broken);
  if (((*control & kTrbCycle) != 0) != position.cycle) return std::unexpected(RingState::empty);
  std::atomic_thread_fence(std::memory_order_acquire);
  const auto parameter = memory.load<uint64_t>(position.address);
  const auto status = memory.load<uint32_t>(position.address + 8);
  if (!parameter || !status) return std::unexpected(RingState::broken);
  return Trb{.parameter = *parameter, .status = *status, .control = *control};
}

std::expected<Td, RingState> read_chain(const memory::GuestMemory& memory, RingPosition position,
                                        size_t maximum) {
  Td td{.parts = {}, .start = position, .next = {}};
  unsigned links = 0;
  while (true) {
    const auto trb = read_trb(memory, position);
    if (!trb) return std::unexpected(trb.error());
    if (type_of(*trb) == TrbType::link) {
      if (++links > kMaximumLinks) return std::unexpected(RingState::broken);
      position.address = trb->parameter & ~uint64_t{0xF};
      if (trb->control & kTrbToggle) position.cycle = !position.cycle;
      continue;
    }
    links = 0;
    td.parts.push_back({.trb = *trb, .address = position.address});
    position.address += sizeof(Trb);
    if (maximum == 1 || !(trb->control & kTrbChain)) break;
    if (td.parts.size() == maximum) return std::unexpected(RingState::broken);
  }
  td.next = position;
  return td;
}

}  // namespace

std::expected<Td, RingState> read_td(const memory::GuestMemory& memory, RingPosition position) {
  return read_chain(memory, position, kMaximumTdParts);
}

std::expected<Td, RingState> read_command(const memory::GuestMemory& memory, RingPosition position) {
  return read_chain(memory, position, 1);
}

}  // namespace alcove::usb
