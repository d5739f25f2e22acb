// Transfer rings, from a doorbell to transfer events (xHCI 1.2, sections 4.9 to 4.11).
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "usb/xhci.h"

namespace alcove::usb {

using namespace spec::xhci;

namespace {

constexpr uint32_t kBlockEventInterrupt = 1u << 9;

Completion failure(Transfer::Status status) {
  return status == Transfer::Status::stall ? Completion::stall : Completion::transaction_error;
}

}  // namespace

void Xhci::ring_all() {
  for (uint32_t number = 1; number <= kSlots; ++number) {
    for (uint32_t context = 1; context <= kMaximumContext; ++context) {
      const auto& endpoint = slots_[number].endpoints[context];
      if (!endpoint) continue;
      endpoint->stopping = false;
      endpoint->for_each_ring([&](uint16_t stream, TransferRing&) {
        unserved_.emplace(number, context | uint32_t{stream} << 16);
      });
    }
  }
}

TransferRing* Xhci::find_ring(Endpoint& endpoint, uint16_t stream) {
  if (endpoint.stream_count == 0) return stream == 0 ? &endpoint.ring : nullptr;
  if (stream == 0 || stream >= endpoint.stream_count) return nullptr;
  const auto found = endpoint.streams.find(stream);
  if (found != endpoint.streams.end()) return &found->second;
  const auto pointer = memory_.load<uint64_t>(endpoint.stream_array + stream * kStreamContextSize);
  if (!pointer || (*pointer >> 1 & 7) != kStreamTypePrimaryRing) return nullptr;
  TransferRing& ring = endpoint.streams[stream];
  ring.position = RingPosition::from(*pointer);
  return &ring;
}

void Xhci::serve_doorbells() {
  for (const bool is_rung : {true, false}) {
    // Served once each: what is not through then is in `unserved_` again.
    for (const auto& [slot, value] : std::exchange(is_rung ? doorbells_ : unserved_, {})) {
      serve_endpoint(static_cast<uint8_t>(slot), static_cast<uint8_t>(value),
                     static_cast<uint16_t>(value >> 16), is_rung);
    }
  }
}

void Xhci::serve_endpoint(uint8_t number, uint8_t context, uint16_t stream, bool is_rung) {
  Endpoint* endpoint = find_endpoint(number, context);
  if (!endpoint || endpoint->stopping || !(command_ & kCommandRun)) return;
  // Section 4.8.3: a doorbell lets a stopped endpoint run.
  if (is_rung && endpoint->state == EndpointState::stopped)
    set_state(number, context, EndpointState::running);
  if (endpoint->state != EndpointState::running) return;
  if (TransferRing* ring = find_ring(*endpoint, stream)) return serve_ring(number, context, stream, *ring);
  Trb event{.status = static_cast<uint32_t>(Completion::invalid_stream_id) << 24,
            .control = type_bits(TrbType::transfer_event) | uint32_t{number} << 24 | uint32_t{context} << 16};
  send(event, 0);
}

void Xhci::serve_ring(uint8_t number, uint8_t context, uint16_t stream, TransferRing& ring) {
  Slot& slot = slots_[number];
  Endpoint& endpoint = *slot.endpoints[context];
  while (!ring.active && !paused_ && !endpoint.stopping && endpoint.state == EndpointState::running &&
         (command_ & kCommandRun)) {
    if (budget_ == 0 || !has_room()) {
      unserved_.emplace(number, context | uint32_t{stream} << 16);
      return;
    }
    --budget_;
    auto td = read_td(memory_, ring.position);
    if (!td && td.error() == RingState::empty) return;
    if (td) budget_ -= std::min(budget_, static_cast<unsigned>(td->parts.size() - 1));
    if (!td) {
      // No TRB that could be named: the endpoint's own (section 4.10.2).
      Td broken{.parts = {{.trb = {}, .address = ring.position.address}},
                .start = ring.position,
                .next = ring.position};
      ActiveTd nothing(std::move(broken), number, context, stream, {});
      set_state(number, context, EndpointState::error);
      send_transfer_event(nothing, nothing.td.parts.front(), Completion::trb_error, 0);
      return;
    }
    ring.active = std::make_unique<ActiveTd>(*std::move(td), number, context, stream,
                                             [this](ActiveTd& done) { completed(done); });
    if (!ring.active->gather(memory_)) {
      const auto bad = std::move(ring.active);
      set_state(number, context, EndpointState::error);
      report(*bad, Completion::trb_error, 0);
      return;
    }
    beginning_ = ring.active.get();
    begin(slot, endpoint, *ring.active);
    beginning_ = nullptr;
    if (ring.active->status) retire(endpoint, ring);
  }
}

void Xhci::begin(Slot& slot, Endpoint& endpoint, ActiveTd& td) {
  const TrbType first = type_of(td.td.parts.front().trb);
  if (!slot.device) return td.complete(Transfer::Status::gone, 0);
  if (endpoint.type == EndpointType::control) return begin_control(slot, endpoint, td);
  // Nothing but event data: no transfer.
  if (first == TrbType::event_data || first == TrbType::no_op) {
    return td.complete(Transfer::Status::success, td.size());
  }
  slot.device->submit(td);
}

// Section 4.11.2.2: three stages, each a TD. The device acts with the data stage if that goes to the host,
// else with the status stage.
void Xhci::begin_control(Slot& slot, Endpoint& endpoint, ActiveTd& td) {
  const Trb& first = td.td.parts.front().trb;
  using Status = Transfer::Status;
  switch (type_of(first)) {
    case TrbType::setup_stage:
      endpoint.setup = std::bit_cast<spec::usb::SetupPacket>(first.parameter);
      endpoint.received.clear();
      endpoint.executed = false;
      return td.complete(Status::success, 0);
    case TrbType::data_stage: {
      if (!td.is_input()) {
        for (const iovec& buffer : td.buffers()) {
          const auto* bytes = static_cast<const std::byte*>(buffer.iov_base);
          const size_t room =
              endpoint.setup.length - std::min<size_t>(endpoint.received.size(), endpoint.setup.length);
          endpoint.received.insert(endpoint.received.end(), bytes, bytes + std::min(buffer.iov_len, room));
        }
        return td.complete(Status::success, td.size());
      }
      if (!(endpoint.setup.request_type & spec::usb::kDirectionIn)) return td.complete(Status::stall, 0);
      auto answer = slot.device->control(endpoint.setup, {});
      endpoint.executed = true;
      if (!answer) return td.complete(Status::stall, 0);
      const size_t size = std::min<uint64_t>({answer->size(), endpoint.setup.length, td.size()});
      size_t done = 0;
      for (const iovec& buffer : td.buffers()) {
        const size_t part = std::min(buffer.iov_len, size - done);
        if (part != 0) std::memcpy(buffer.iov_base, answer->data() + done, part);
        done += part;
      }
      return td.complete(Status::success, size);
    }
    case TrbType::status_stage:
      if (!std::exchange(endpoint.executed, true) &&
          !slot.device->control(endpoint.setup, endpoint.received)) {
        return td.complete(Status::stall, 0);
      }
      return td.complete(Status::success, 0);
    default:
      return td.complete(Status::success, td.size());
  }
}

// The device is done, in the strand's turn.
void Xhci::completed(ActiveTd& td) {
  if (&td == beginning_) return;  // serve_ring() goes on.
  finished_.push_back(&td);
  if (working_) return;
  {
    const std::lock_guard lock(mutex_);
    wake();
  }
  post_work();
}

void Xhci::retire_finished() {
  while (!finished_.empty()) {
    const ActiveTd& td = *finished_.front();
    const uint32_t value = td.context | uint32_t{td.stream()} << 16;
    const uint8_t number = td.slot;
    Endpoint& endpoint = *slots_[number].endpoints[td.context];
    retire(endpoint, *find_ring(endpoint, td.stream()));
    unserved_.emplace(number, value);
  }
}

void Xhci::retire(Endpoint& endpoint, TransferRing& ring) {
  const auto td = std::move(ring.active);
  std::erase(finished_, td.get());
  if (td->is_input()) {
    uint64_t left = td->transferred;
    for (const TdPart& part : td->td.parts) {
      const uint64_t size = std::min<uint64_t>(left, ActiveTd::length_of(part.trb));
      if (size != 0) memory_.mark_written(part.trb.parameter, size);
      left -= size;
    }
  }
  if (*td->status == Transfer::Status::success) {
    ring.position = td->td.next;
    return report_success(*td, td->transferred);
  }
  endpoint.state = EndpointState::halted;
  set_state(td->slot, td->context, EndpointState::halted);
  report(*td, failure(*td->status), td->transferred);
}

// Section 4.10.1: events for TRBs that ask for them, and for the first that a short packet ends.
void Xhci::report_success(const ActiveTd& td, uint64_t transferred) {
  uint64_t left = transferred;
  uint32_t since_event = 0;
  bool is_short = false, told = false;
  for (const TdPart& part : td.td.parts) {
    if (type_of(part.trb) == TrbType::event_data) {
      if (part.trb.control & kTrbInterrupt) {
        const Completion code = is_short ? Completion::short_packet : Completion::success;
        send({.parameter = part.trb.parameter,
              .status = (since_event & 0xFFFFFF) | static_cast<uint32_t>(code) << 24,
              .control = type_bits(TrbType::transfer_event) | kTrbEventData | uint32_t{td.slot} << 24 |
                         uint32_t{td.context} << 16},
             part.trb.status >> 22, part.trb.control & kBlockEventInterrupt);
      }
      since_event = 0;
      continue;
    }
    const uint32_t length = ActiveTd::length_of(part.trb);
    const auto done = static_cast<uint32_t>(std::min<uint64_t>(left, length));
    left -= done;
    since_event += done;
    const bool ends_here = done < length;
    is_short |= ends_here;
    const bool wanted = part.trb.control & kTrbInterrupt || (ends_here && part.trb.control & kTrbShortPacket);
    if (!wanted || told) continue;
    told = is_short;  // Once for a short packet.
    send_transfer_event(td, part, is_short ? Completion::short_packet : Completion::success, length - done);
  }
}

// A TD that ended before its end: one event, for the TRB where it did.
void Xhci::report(const ActiveTd& td, Completion code, uint64_t transferred) {
  uint64_t left = transferred;
  for (const TdPart& part : td.td.parts) {
    const uint32_t length = ActiveTd::length_of(part.trb);
    if (left >= length && &part != &td.td.parts.back()) {
      left -= length;
      continue;
    }
    return send_transfer_event(td, part, code,
                               length - static_cast<uint32_t>(std::min<uint64_t>(left, length)));
  }
}

void Xhci::send_transfer_event(const ActiveTd& td, const TdPart& part, Completion code, uint32_t left) {
  send({.parameter = part.address,
        .status = (left & 0xFFFFFF) | static_cast<uint32_t>(code) << 24,
        .control = type_bits(TrbType::transfer_event) | uint32_t{td.slot} << 24 | uint32_t{td.context} << 16},
       part.trb.status >> 22, part.trb.control & kBlockEventInterrupt);
}

// The state and the ring's position stand in the endpoint's context whenever it does not run (section 6.2.3).
void Xhci::set_state(uint8_t number, uint8_t context, EndpointState state) {
  Slot& slot = slots_[number];
  Endpoint& endpoint = *slot.endpoints[context];
  endpoint.state = state;
  const uint64_t address = slot.context + uint64_t{context} * kContextSize;
  const auto first = memory_.load<uint32_t>(address);
  if (!first || !memory_.store(address, (*first & ~7u) | static_cast<uint32_t>(state))) return;
  if (state == EndpointState::running) return;
  if (endpoint.stream_count == 0) {
    (void)memory_.store(address + 8, endpoint.ring.position.pointer());
    return;
  }
  for (const auto& [stream, ring] : endpoint.streams) {
    (void)memory_.store(endpoint.stream_array + stream * kStreamContextSize,
                        ring.position.pointer() | uint64_t{kStreamTypePrimaryRing} << 1);
  }
}

bool Xhci::take_back(Slot& slot, Endpoint& endpoint, TransferRing& ring) {
  if (ring.active && ring.active->status) retire(endpoint, ring);  // Done meanwhile.
  if (!ring.active || !slot.device) return true;
  return slot.device->cancel(*ring.active);
}

bool Xhci::quiesce(uint8_t number, uint8_t context, bool report_stopped) {
  Slot& slot = slots_[number];
  Endpoint* endpoint = slot.endpoints[context].get();
  if (!endpoint) return true;
  bool idle = true;
  endpoint->for_each_ring([&](uint16_t, TransferRing& ring) {
    if (!take_back(slot, *endpoint, ring)) {
      idle = false;
      return;
    }
    if (!ring.active) return;
    const auto td = std::move(ring.active);
    if (report_stopped) report(*td, Completion::stopped, 0);
  });
  endpoint->stopping = !idle;
  return idle;
}

bool Xhci::quiesce_slot(uint8_t number, unsigned first_context) {
  bool idle = true;
  for (unsigned context = first_context; context <= kMaximumContext; ++context) {
    idle &= quiesce(number, static_cast<uint8_t>(context), false);
  }
  return idle;
}

bool Xhci::quiesce_all() {
  bool idle = true;
  for (unsigned number = 1; number <= kSlots; ++number) idle &= quiesce_slot(static_cast<uint8_t>(number), 1);
  return idle;
}

}  // namespace alcove::usb
