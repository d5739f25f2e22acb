// One connection: its bytes both ways between a socket of the host and the guest, and who still speaks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/vsock/inbox.h"
#include "devices/vsock/packet.h"
#include "exec/event_loop.h"
#include "support/unique_fd.h"

namespace alcove::devices::vsock {

// Used by one thread at a time. Knows nothing of event loops: its owner watches the socket.
class Connection {
 public:
  enum class State {
    asked_guest,  // The guest is to answer.
    asked_host,   // The host is.
    open,
    closing,   // The host is done, and has no socket any more: the guest is to confirm that.
    draining,  // The guest is done, and knows nothing of it any more: the socket has not taken all yet.
  };
  // Packets without payload that are to be sent, as bits.
  enum Due : unsigned { kRequest = 1, kResponse = 2, kCredit = 4, kShutdown = 8 };

  // `room` is how many bytes it keeps of the guest's that the socket does not take at once.
  Connection(Ports named, State first, uint32_t room) : ports(named), state(first), room_(room) {}

  const Ports ports;
  State state;
  UniqueFd socket;

  // What the owner notes.
  uint64_t id = 0;  // Of what was asked.
  std::optional<exec::EventLoop::TimerId> timer;
  uint32_t watched = 0;      // Events of the socket that are watched for.
  bool is_watched = false;   // Whether it is watched at all.
  bool wants_input = false;  // Of the socket: else it waits for the guest, or nothing more comes.
  bool waits_for_credit = false;
  bool waits_for_room = false;  // It is in the owner's list of those.
  bool is_due = false;          // It is in the owner's list of those that have packets due.
  unsigned due = 0;
  uint32_t told_shutdown = 0;  // What the guest has been told that the host does not any more.

  // What the guest says of itself in each packet.
  void note(const Packet& packet);
  // The header of a packet to the guest, which tells it how much has been forwarded.
  wire::Header header(uint64_t guest_cid, Operation operation);

  // Guest to host. Takes the payload of a packet: what the socket does not take is kept. False if the guest
  // sends more than it may, or after it said that it would not any more.
  bool take(const virtio::Chain& chain, uint32_t size);
  // Gives the socket what is kept.
  void flush();
  bool has_kept() const { return head_ < kept_.size(); }
  // Forgets what is kept: nobody reads it.
  void discard();
  // Whether the guest should be told that there is room again.
  bool owes_credit() const { return forwarded_ - told_ >= room_ / 4; }
  uint32_t room() const { return room_; }
  // The host does not read any more.
  bool is_deaf() const { return is_deaf_; }

  // Host to guest: from the socket into the guest's buffers.
  enum class Delivery {
    more,       // There may be more at once.
    idle,       // The socket has no more at present.
    no_credit,  // The guest takes no more at present,
    no_room,    // or has no buffers, or its ring is broken.
    ended,      // The host sends no more.
    failed,     // The host broke the connection.
  };
  Delivery deliver(Inbox& inbox, uint64_t guest_cid);
  bool host_ended() const { return host_ended_; }
  // Whether the host's end of the socket is closed, or both directions are shut down.
  bool is_hung_up() const;

  // What the guest does not do any more, as flags of `shutdown`; all that it said together.
  void note_shutdown(uint32_t flags);
  uint32_t guest_shutdown() const { return guest_shutdown_; }
  // What the host does not.
  uint32_t host_shutdown() const;

 private:
  uint32_t credit() const;
  void shut_down_sending();

  // Guest to host; counts are modulo 2^32.
  const uint32_t room_;
  uint32_t forwarded_ = 0;
  uint32_t told_ = 0;
  std::vector<std::byte> kept_;
  size_t head_ = 0;  // Of kept_: what is before it has been written.
  bool is_deaf_ = false;

  // Host to guest.
  uint32_t guest_room_ = 0;
  uint32_t guest_forwarded_ = 0;
  uint32_t sent_ = 0;
  bool host_ended_ = false;

  uint32_t guest_shutdown_ = 0;
};

}  // namespace alcove::devices::vsock
