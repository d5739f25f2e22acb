// A guest's driver of the socket device for tests: sends any packet, and reads what comes.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>

#include "devices/vsock/vsock.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::vsock::testing {

using virtio::testing::Bytes;
using virtio::testing::bytes_of;

inline constexpr uint64_t kCid = 7;
inline constexpr uint32_t kGuestRoom = 256 * 1024;

struct Received {
  wire::Header header{};
  std::string payload;
  Operation operation() const { return static_cast<Operation>(header.operation); }
};

// A pair of stream sockets.
struct Pair {
  Pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    host.reset(ends[0]);
    device.reset(ends[1]);
  }
  UniqueFd host, device;
};

class SocketGuest {
 public:
  explicit SocketGuest(Vsock& device, unsigned buffers = 64, uint32_t buffer_size = 4096) {
    guest_.activate(device, 0, 256);
    give(buffers, buffer_size);
  }

  // Receive buffers.
  void give(unsigned count, uint32_t size = 4096) {
    for (unsigned i = 0; i < count; ++i) {
      const auto placed = receive_queue().add({.writable = {size}});
      places_[placed.head] = {placed.writable[0], size};
    }
    receive_queue().notify();
  }
  // Whether a packet is given its buffer back.
  void give_back(bool yes) { gives_back_ = yes; }

  wire::Header header(Operation operation, Ports ports, uint32_t length = 0) const {
    return {.source_cid = kCid,
            .destination_cid = wire::kHostCid,
            .source_port = ports.guest,
            .destination_port = ports.host,
            .length = length,
            .type = wire::kTypeStream,
            .operation = static_cast<uint16_t>(operation),
            .flags = 0,
            .buffer_size = kGuestRoom,
            .forwarded = forwarded};
  }
  // Sends it and waits until the device has taken it.
  void send_raw(const wire::Header& header, std::string_view payload = {}) {
    std::vector<Bytes> readable{bytes_of(header)};
    if (!payload.empty()) readable.push_back(bytes_of(payload));
    send_raw(std::move(readable));
  }
  void send_raw(std::vector<Bytes> readable) { transmit_queue().request({.readable = std::move(readable)}); }
  void send(Operation operation, Ports ports, std::string_view payload = {}, uint32_t flags = 0) {
    wire::Header header = this->header(operation, ports, static_cast<uint32_t>(payload.size()));
    header.flags = flags;
    send_raw(header, payload);
  }

  // The next packet of the host's; nothing if none comes in time.
  std::optional<Received> next(std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto used = receive_queue().wait(limit);
    if (!used) return {};
    const auto [address, size] = places_.at(static_cast<uint16_t>(used->id));
    places_.erase(static_cast<uint16_t>(used->id));
    const Bytes bytes = receive_queue().bytes(address, used->length);
    Received packet;
    if (bytes.size() < sizeof packet.header) return {};
    std::memcpy(&packet.header, bytes.data(), sizeof packet.header);
    packet.payload.assign(reinterpret_cast<const char*>(bytes.data()) + sizeof packet.header,
                          bytes.size() - sizeof packet.header);
    if (gives_back_) give(1, size);
    return packet;
  }
  bool is_silent() { return !next(std::chrono::milliseconds(30)); }

  virtio::testing::FakeGuest& guest() { return guest_; }
  virtio::testing::FakeQueue& receive_queue() { return guest_.queue(wire::kReceiveQueue); }
  virtio::testing::FakeQueue& transmit_queue() { return guest_.queue(wire::kTransmitQueue); }
  bool is_broken() { return guest_.interrupts().needs_reset_count() > 0; }

  uint32_t forwarded = 0;  // What the guest says in its packets.

 private:
  virtio::testing::FakeGuest guest_;
  std::map<uint16_t, std::pair<uint64_t, uint32_t>> places_;
  bool gives_back_ = true;
};

}  // namespace alcove::devices::vsock::testing
