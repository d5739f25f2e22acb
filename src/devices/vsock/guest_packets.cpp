// What the guest's packets do.
#include <sys/eventfd.h>

#include "devices/vsock/switchboard.h"

namespace alcove::devices::vsock {

namespace {

// Chains that one turn serves at most, so that a guest that never ceases leaves the loop to others.
constexpr unsigned kTurn = 256;

Error refusal(std::string what) {
  return {ErrorCode::network_error, "", std::move(what), ""};
}

}  // namespace

void Switchboard::serve_transmit() {
  virtio::Queue& queue = *transmit_;
  queue.set_wants_notifications(false);
  unsigned served = 0;
  for (; served < kTurn && replies_.size() < kMostReplies; ++served) {
    auto chain = queue.pop();
    if (chain && !*chain) {
      queue.set_wants_notifications(true);
      chain = queue.pop();
      if (chain && !*chain) break;
      queue.set_wants_notifications(false);
    }
    if (!chain) return fail();
    receive(**chain);
    queue.push(**chain, 0);
  }
  queue.notify();
  if (replies_.size() >= kMostReplies) {
    transmit_waits_ = true;
  } else if (served == kTurn) {
    eventfd_write(doorbells_.at(wire::kTransmitQueue), 1);
  }
  end_turn();
}

void Switchboard::receive(const virtio::Chain& chain) {
  const auto packet = parse(chain, guest_cid_);
  if (!packet) return;
  const auto found = packet->type == wire::kTypeStream ? table_.find(packet->ports) : table_.end();
  if (found != table_.end()) {
    receive(*found->second, chain, *packet);
  } else if (packet->type == wire::kTypeStream && packet->operation == Operation::request) {
    receive_request(*packet);
  } else if (packet->operation != Operation::reset) {
    // Section 5.10.6.4.1: also the answer to a type of socket that is not there.
    reply_reset(packet->ports, packet->type);
  }
}

void Switchboard::receive_request(const Packet& packet) {
  Connection* connection =
      questions_.unanswered.size() < kMostAsked ? add(packet.ports, State::asked_host) : nullptr;
  if (!connection) return reply_reset(packet.ports);
  connection->note(packet);
  asked_host_.emplace(connection->id, connection);
  questions_.unanswered.insert(connection->id);
  asked_(connection->id, packet.ports);
}

void Switchboard::receive(Connection& connection, const virtio::Chain& chain, const Packet& packet) {
  connection.note(packet);
  if (packet.operation == Operation::reset) {
    return refuse(connection,
                  refusal(connection.state == State::asked_guest ? "nothing in the guest listens on this port"
                                                                 : "the guest broke the connection"));
  }
  if (connection.state == State::asked_guest || connection.state == State::asked_host)
    return receive_first(connection, packet);
  switch (packet.operation) {
    case Operation::credit_request:
      speak(connection, Connection::kCredit);
      [[fallthrough]];
    case Operation::credit_update:
      if (connection.waits_for_credit) hear(connection);
      return;
    case Operation::shutdown:
      return receive_shutdown(connection, packet.flags);
    case Operation::data:
      return receive_data(connection, chain, packet.length);
    default:
      return reset(connection);
  }
}

// Before it is open.
void Switchboard::receive_first(Connection& connection, const Packet& packet) {
  if (connection.state == State::asked_guest && packet.operation == Operation::response) {
    auto asked = asked_guest_.extract(connection.id);
    open(connection);
    return asked.mapped()(connection.ports.host);
  }
  const bool is_credit =
      packet.operation == Operation::credit_update || packet.operation == Operation::credit_request;
  if (connection.state == State::asked_host && is_credit) return;
  reset(connection);
}

void Switchboard::receive_data(Connection& connection, const virtio::Chain& chain, uint32_t size) {
  // What was under way when the host closed.
  if (connection.state == State::closing) return;
  if (!connection.take(chain, size)) return reset(connection);
  after_flush(connection);
  if (connection.waits_for_credit) hear(connection);
}

void Switchboard::receive_shutdown(Connection& connection, uint32_t flags) {
  connection.note_shutdown(flags);
  if (connection.guest_shutdown() == wire::kShutdownBoth) {
    // Section 5.10.6.5: that is confirmed by a reset, and the guest forgets the connection.
    reply_reset(connection.ports);
    return connection.has_kept() && connection.state == State::open ? drain(connection) : drop(connection);
  }
  if (!(flags & wire::kShutdownReceive) || connection.state != State::open) return;
  forget_waiting(connection);
  connection.wants_input = false;
  if (!connection.is_watched && connection.is_hung_up()) return host_closed(connection);
  watch(connection);
}

}  // namespace alcove::devices::vsock
