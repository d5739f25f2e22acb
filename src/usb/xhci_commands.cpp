// The command ring (xHCI 1.2, sections 4.6 and 6.4.3) and contexts (section 6.2).
#include <algorithm>
#include <utility>

#include "usb/xhci.h"

namespace alcove::usb {

using namespace spec::xhci;

namespace {

constexpr uint64_t kPointerMask = ~uint64_t{0xF};
using Words = std::array<uint32_t, 8>;

// Where contexts stand: the input control context is before those of the device (section 6.2.5).
uint64_t input_context(const Trb& trb, unsigned context) {
  return (trb.parameter & kPointerMask) + (context + 1) * kContextSize;
}
uint64_t output_context(const Slot& slot, unsigned context) {
  return slot.context + context * kContextSize;
}

void set_slot_state(Words& words, SlotState state, uint8_t address) {
  words[3] = address | static_cast<uint32_t>(state) << kSlotStateShift;
}

}  // namespace

std::optional<Words> Xhci::read_context(uint64_t address) const {
  return memory_.load<Words>(address);
}

bool Xhci::write_context(uint64_t address, const Words& words) {
  return memory_.store(address, words);
}

Slot* Xhci::enabled_slot(uint8_t number) {
  return number >= 1 && number <= kSlots && slots_[number].enabled ? &slots_[number] : nullptr;
}

Endpoint* Xhci::find_endpoint(uint8_t number, uint8_t context) {
  Slot* slot = enabled_slot(number);
  return slot && context >= 1 && context <= kMaximumContext ? slot->endpoints[context].get() : nullptr;
}

void Xhci::serve_commands() {
  while (command_ring_running_ && budget_ > 0 && has_room()) {
    --budget_;
    const auto command = read_command(memory_, command_ring_);
    if (!command) {
      if (command.error() == RingState::broken) fail();
      return;
    }
    const TdPart& part = command->parts.front();
    const auto outcome = execute(part.trb);
    if (!outcome) return;  // The end of a transfer brings us here again.
    if (!command_ring_running_) return;
    command_ring_ = command->next;
    complete_command(part.address, outcome->code, outcome->slot);
  }
}

void Xhci::complete_command(uint64_t address, Completion code, uint8_t slot) {
  send({.parameter = address,
        .status = static_cast<uint32_t>(code) << 24,
        .control = type_bits(TrbType::command_completion) | uint32_t{slot} << 24},
       0);
}

std::optional<Xhci::Outcome> Xhci::execute(const Trb& trb) {
  const auto slot = static_cast<uint8_t>(trb.control >> 24);
  const auto context = static_cast<uint8_t>(trb.control >> 16 & 0x1F);
  switch (type_of(trb)) {
    case TrbType::no_op_command:
      return Outcome{Completion::success, 0};
    case TrbType::enable_slot:
      return enable_slot();
    case TrbType::disable_slot:
      return disable_slot(slot);
    case TrbType::address_device:
      return address_device(slot, trb);
    case TrbType::configure_endpoint:
      return configure_endpoints(slot, trb);
    case TrbType::evaluate_context:
      return evaluate_context(slot, trb);
    case TrbType::reset_device:
      return reset_device(slot);
    case TrbType::reset_endpoint:
      return reset_endpoint(slot, context, trb);
    case TrbType::stop_endpoint:
      return stop_endpoint(slot, context);
    case TrbType::set_dequeue:
      return set_dequeue(slot, context, trb);
    default:
      return Outcome{Completion::trb_error, slot};
  }
}

Xhci::Outcome Xhci::enable_slot() {
  const unsigned last = std::min(configure_, uint32_t{kSlots});
  for (unsigned number = 1; number <= last; ++number) {
    if (slots_[number].enabled) continue;
    slots_[number] = Slot{.enabled = true};
    return {Completion::success, static_cast<uint8_t>(number)};
  }
  return {Completion::no_slots};
}

std::optional<Xhci::Outcome> Xhci::disable_slot(uint8_t number) {
  if (!enabled_slot(number)) return Outcome{Completion::slot_not_enabled, number};
  if (!quiesce_slot(number, 1)) return std::nullopt;
  slots_[number] = {};
  return Outcome{Completion::success, number};
}

std::optional<Xhci::Outcome> Xhci::address_device(uint8_t number, const Trb& trb) {
  Slot* slot = enabled_slot(number);
  if (!slot) return Outcome{Completion::slot_not_enabled, number};
  const auto control = read_context(input_context(trb, 0) - kContextSize);
  auto device_words = read_context(input_context(trb, 0));
  auto endpoint_words = read_context(input_context(trb, 1));
  const auto output = memory_.load<uint64_t>(context_array_ + number * sizeof(uint64_t));
  if (!control || !device_words || !endpoint_words || !output) return Outcome{Completion::trb_error, number};
  if (((*control)[1] & 3) != 3) return Outcome{Completion::parameter_error, number};
  const uint32_t port = (*device_words)[1] >> kSlotPortShift & 0xFF;
  if (port < 1 || port > kPortCount || ((*device_words)[0] & 0xFFFFF) != 0) {
    return Outcome{Completion::parameter_error, number};
  }
  const bool sets_address = !(trb.control & kTrbBlockSetAddress);
  if (slot->state >= (sets_address ? SlotState::addressed : SlotState::default_state)) {
    return Outcome{Completion::context_state_error, number};
  }
  const auto& device = ports_[port - 1].device();
  if (!device) return Outcome{Completion::transaction_error, number};
  for (const Slot& other : slots_) {
    // Two slots for one device would be two addresses for it.
    if (&other != slot && other.device == device) return Outcome{Completion::parameter_error, number};
  }
  auto endpoint = make_endpoint(*endpoint_words, 1);
  if (!endpoint || endpoint->type != EndpointType::control)
    return Outcome{Completion::parameter_error, number};
  if (!quiesce_slot(number, 1)) return std::nullopt;
  slot->context = *output & ~uint64_t{0x3F};
  slot->device = device;
  slot->state = sets_address ? SlotState::addressed : SlotState::default_state;
  slot->endpoints[1] = std::move(endpoint);
  set_slot_state(*device_words, slot->state, sets_address ? number : 0);
  (*endpoint_words)[0] = ((*endpoint_words)[0] & ~7u) | static_cast<uint32_t>(EndpointState::running);
  if (!write_context(output_context(*slot, 0), *device_words) ||
      !write_context(output_context(*slot, 1), *endpoint_words)) {
    return Outcome{Completion::trb_error, number};
  }
  return Outcome{Completion::success, number};
}

std::unique_ptr<Endpoint> Xhci::make_endpoint(const Words& words, uint8_t context) const {
  auto endpoint = std::make_unique<Endpoint>();
  endpoint->type = static_cast<EndpointType>(words[1] >> 3 & 7);
  const uint64_t pointer = words[2] | uint64_t{words[3]} << 32;
  const bool input = context % 2;
  switch (endpoint->type) {
    case EndpointType::control:
      if (context != 1) return nullptr;
      break;
    case EndpointType::bulk_out:
    case EndpointType::interrupt_out:
      if (input) return nullptr;
      break;
    case EndpointType::bulk_in:
    case EndpointType::interrupt_in:
      if (!input || context == 1) return nullptr;
      break;
    default:
      return nullptr;  // No device of ours has isochronous endpoints.
  }
  const uint32_t exponent = words[0] >> 10 & 0x1F;
  if (exponent == 0) {
    endpoint->ring.position = RingPosition::from(pointer);
    return endpoint;
  }
  constexpr uint32_t kLinear = 1u << 15;
  const bool is_bulk = endpoint->type == EndpointType::bulk_in || endpoint->type == EndpointType::bulk_out;
  if (!is_bulk || exponent > kLargestStreamArray || !(words[0] & kLinear)) return nullptr;
  endpoint->stream_count = 2u << exponent;
  endpoint->stream_array = pointer & kPointerMask;
  return endpoint;
}

std::optional<Xhci::Outcome> Xhci::configure_endpoints(uint8_t number, const Trb& trb) {
  Slot* slot = enabled_slot(number);
  if (!slot) return Outcome{Completion::slot_not_enabled, number};
  if (slot->state < SlotState::addressed) return Outcome{Completion::context_state_error, number};
  const bool deconfigures = trb.control & kTrbDeconfigure;
  uint32_t drop = ~3u, add = 0;
  std::array<std::unique_ptr<Endpoint>, kMaximumContext + 1> added;
  std::array<Words, kMaximumContext + 1> words{};
  auto slot_words = read_context(output_context(*slot, 0));
  if (!slot_words) return Outcome{Completion::trb_error, number};
  if (!deconfigures) {
    const auto control = read_context(input_context(trb, 0) - kContextSize);
    const auto input = read_context(input_context(trb, 0));
    if (!control || !input) return Outcome{Completion::trb_error, number};
    drop = (*control)[0];
    add = (*control)[1];
    if (drop & 3) return Outcome{Completion::parameter_error, number};
    if (add & 1) (*slot_words)[0] = (*input)[0];
    for (unsigned context = 2; context <= kMaximumContext; ++context) {
      if (!(add >> context & 1)) continue;
      const auto endpoint_words = read_context(input_context(trb, context));
      if (!endpoint_words) return Outcome{Completion::trb_error, number};
      words[context] = *endpoint_words;
      added[context] = make_endpoint(*endpoint_words, static_cast<uint8_t>(context));
      const bool stays = slot->endpoints[context] && !(drop >> context & 1);
      if (!added[context] || stays) return Outcome{Completion::parameter_error, number};
    }
  }
  bool idle = true;
  for (unsigned context = 2; context <= kMaximumContext; ++context) {
    if (drop >> context & 1) idle &= quiesce(number, static_cast<uint8_t>(context), false);
  }
  if (!idle) return std::nullopt;
  bool any = false;
  for (unsigned context = 2; context <= kMaximumContext; ++context) {
    auto& endpoint = slot->endpoints[context];
    bool written = true;
    if (drop >> context & 1 && endpoint) {
      endpoint = nullptr;
      written = memory_.store(output_context(*slot, context), uint32_t{0});
    }
    if (added[context]) {
      endpoint = std::move(added[context]);
      words[context][0] = (words[context][0] & ~7u) | static_cast<uint32_t>(EndpointState::running);
      written = write_context(output_context(*slot, context), words[context]);
    }
    if (!written) return Outcome{Completion::trb_error, number};
    any |= endpoint != nullptr;
  }
  slot->state = any ? SlotState::configured : SlotState::addressed;
  set_slot_state(*slot_words, slot->state, number);
  if (!write_context(output_context(*slot, 0), *slot_words)) return Outcome{Completion::trb_error, number};
  return Outcome{Completion::success, number};
}

Xhci::Outcome Xhci::evaluate_context(uint8_t number, const Trb& trb) {
  Slot* slot = enabled_slot(number);
  if (!slot) return {Completion::slot_not_enabled, number};
  if (slot->state == SlotState::enabled) return {Completion::context_state_error, number};
  const auto control = read_context(input_context(trb, 0) - kContextSize);
  if (!control) return {Completion::trb_error, number};
  for (const unsigned context : {0u, 1u}) {
    if (!((*control)[1] >> context & 1)) continue;
    const auto input = read_context(input_context(trb, context));
    auto output = read_context(output_context(*slot, context));
    if (!input || !output) return {Completion::trb_error, number};
    if (context == 0) {  // Section 6.2.2.3: maximum exit latency and interrupter target.
      (*output)[1] = ((*output)[1] & ~0xFFFFu) | ((*input)[1] & 0xFFFF);
      (*output)[2] = ((*output)[2] & ~0xFFC0'0000u) | ((*input)[2] & 0xFFC0'0000);
    } else {  // Section 6.2.3.3: the maximum packet size.
      (*output)[1] = ((*output)[1] & 0xFFFF) | ((*input)[1] & 0xFFFF'0000);
    }
    if (!write_context(output_context(*slot, context), *output)) return {Completion::trb_error, number};
  }
  return {Completion::success, number};
}

std::optional<Xhci::Outcome> Xhci::reset_device(uint8_t number) {
  Slot* slot = enabled_slot(number);
  if (!slot) return Outcome{Completion::slot_not_enabled, number};
  if (slot->state < SlotState::addressed) return Outcome{Completion::context_state_error, number};
  if (!quiesce_slot(number, 2)) return std::nullopt;
  for (unsigned context = 2; context <= kMaximumContext; ++context) {
    if (std::exchange(slot->endpoints[context], nullptr)) {
      (void)memory_.store(output_context(*slot, context), uint32_t{0});
    }
  }
  slot->state = SlotState::default_state;
  auto words = read_context(output_context(*slot, 0));
  if (!words) return Outcome{Completion::trb_error, number};
  (*words)[0] = ((*words)[0] & ~(31u << kSlotEntriesShift)) | 1u << kSlotEntriesShift;
  set_slot_state(*words, slot->state, 0);
  if (!write_context(output_context(*slot, 0), *words)) return Outcome{Completion::trb_error, number};
  return Outcome{Completion::success, number};
}

Xhci::Outcome Xhci::reset_endpoint(uint8_t number, uint8_t context, const Trb& /*trb*/) {
  Endpoint* endpoint = find_endpoint(number, context);
  if (!endpoint)
    return {enabled_slot(number) ? Completion::context_state_error : Completion::slot_not_enabled, number};
  if (endpoint->state != EndpointState::halted) return {Completion::context_state_error, number};
  set_state(number, context, EndpointState::stopped);
  return {Completion::success, number};
}

std::optional<Xhci::Outcome> Xhci::stop_endpoint(uint8_t number, uint8_t context) {
  Endpoint* endpoint = find_endpoint(number, context);
  if (!endpoint) {
    return Outcome{enabled_slot(number) ? Completion::context_state_error : Completion::slot_not_enabled,
                   number};
  }
  if (endpoint->state != EndpointState::running) return Outcome{Completion::context_state_error, number};
  if (!quiesce(number, context, true)) return std::nullopt;
  set_state(number, context, EndpointState::stopped);
  return Outcome{Completion::success, number};
}

Xhci::Outcome Xhci::set_dequeue(uint8_t number, uint8_t context, const Trb& trb) {
  Endpoint* endpoint = find_endpoint(number, context);
  if (!endpoint)
    return {enabled_slot(number) ? Completion::context_state_error : Completion::slot_not_enabled, number};
  if (endpoint->state != EndpointState::stopped && endpoint->state != EndpointState::error) {
    return {Completion::context_state_error, number};
  }
  const auto stream = static_cast<uint16_t>(trb.status >> 16);
  TransferRing* ring = find_ring(*endpoint, stream);
  if (!ring) return {Completion::invalid_stream_id, number};
  ring->position = RingPosition::from(trb.parameter);
  set_state(number, context, EndpointState::stopped);
  return {Completion::success, number};
}

}  // namespace alcove::usb
