// What the xHCI controller knows of device slots and their endpoints.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "spec/xhci.h"
#include "usb/device.h"
#include "usb/ring.h"

namespace alcove::usb {

// A TD at work, with the device if it is the device's turn.
class ActiveTd final : public Transfer {
 public:
  using Done = std::function<void(ActiveTd&)>;

  ActiveTd(Td what, uint8_t slot_number, uint8_t context, uint16_t stream, Done done);

  // Finds the buffers. False if a TRB has no place in such a TD, or a buffer is not memory.
  bool gather(const memory::GuestMemory& memory);
  bool is_input() const { return endpoint_ & spec::usb::kDirectionIn; }
  // How many bytes a TRB of it transfers at most.
  static uint32_t length_of(const spec::xhci::Trb& trb);

  void complete(Status status, uint64_t transferred) override;

  const Td td;
  const uint8_t slot;
  const uint8_t context;  // DCI: the endpoint's number in the slot.
  // What complete() was told.
  std::optional<Status> status;
  uint64_t transferred = 0;

 private:
  std::array<std::byte, 8> immediate_{};
  Done done_;
};

struct TransferRing {
  RingPosition position;
  std::unique_ptr<ActiveTd> active;
};

struct Endpoint {
  spec::xhci::EndpointState state = spec::xhci::EndpointState::running;
  spec::xhci::EndpointType type = spec::xhci::EndpointType::invalid;
  bool stopping = false;      // No TD begins: a command waits for those under way.
  TransferRing ring;          // Without streams.
  uint32_t stream_count = 0;  // Contexts in the array; 0: no streams.
  uint64_t stream_array = 0;
  std::map<uint16_t, TransferRing> streams;  // Those used so far.

  // Of a control transfer, between its stages.
  spec::usb::SetupPacket setup;
  std::vector<std::byte> received;
  bool executed = false;  // With the data stage, so nothing is left for the status stage.

  template <class Use>
  void for_each_ring(Use use) {
    if (stream_count == 0) return use(uint16_t{0}, ring);
    for (auto& [stream, its_ring] : streams) use(stream, its_ring);
  }
};

struct Slot {
  bool enabled = false;
  spec::xhci::SlotState state = spec::xhci::SlotState::enabled;
  uint64_t context = 0;  // The output device context's address.
  std::shared_ptr<Device> device;
  std::array<std::unique_ptr<Endpoint>, spec::xhci::kMaximumContext + 1> endpoints;  // By DCI.
};

}  // namespace alcove::usb
