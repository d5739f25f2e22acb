#include "usb/endpoint.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace alcove::usb {

using namespace spec::xhci;

ActiveTd::ActiveTd(Td what, uint8_t slot_number, uint8_t dci, uint16_t stream, Done done)
    : td(std::move(what)), slot(slot_number), context(dci), done_(std::move(done)) {
  endpoint_ = static_cast<uint8_t>(dci / 2 | (dci % 2 ? spec::usb::kDirectionIn : 0));
  stream_ = stream;
}

uint32_t ActiveTd::length_of(const Trb& trb) {
  const TrbType type = type_of(trb);
  return type == TrbType::normal || type == TrbType::data_stage ? trb.status & kTrbLengthMask : 0;
}

bool ActiveTd::gather(const memory::GuestMemory& memory) {
  const TrbType first = type_of(td.parts.front().trb);
  if (first == TrbType::data_stage) {
    endpoint_ = td.parts.front().trb.control & kTrbDirectionIn ? spec::usb::kDirectionIn : uint8_t{0};
  }
  for (const TdPart& part : td.parts) {
    const TrbType type = type_of(part.trb);
    if (type == TrbType::event_data || type == TrbType::no_op) continue;
    if (&part == td.parts.data() && (type == TrbType::setup_stage || type == TrbType::status_stage)) continue;
    const bool is_data = type == TrbType::normal || (type == TrbType::data_stage && first == type);
    if (!is_data) return false;
    const uint32_t length = length_of(part.trb);
    if (length == 0) continue;
    std::byte* place = nullptr;
    if (part.trb.control & kTrbImmediate) {
      // Section 6.4.1.1: at most eight bytes, alone in their TD, towards the device.
      if (length > immediate_.size() || is_input() || !buffers_.empty()) return false;
      std::memcpy(immediate_.data(), &part.trb.parameter, length);
      place = immediate_.data();
    } else {
      place = memory.buffer(part.trb.parameter, length, is_input());
      if (!place) return false;
    }
    buffers_.push_back({.iov_base = place, .iov_len = length});
    size_ += length;
  }
  return true;
}

void ActiveTd::complete(Status how, uint64_t bytes) {
  status = how;
  transferred = std::min(bytes, size_);
  done_(*this);
}

}  // namespace alcove::usb
