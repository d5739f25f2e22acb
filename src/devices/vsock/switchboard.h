// All connections of a guest, from the driver's start of the device to its end: answers the guest's packets,
// and moves bytes between its queues and the host's sockets.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "devices/vsock/connection.h"
#include "devices/vsock/inbox.h"
#include "devices/vsock/packet.h"
#include "exec/event_loop.h"
#include "virtio/device.h"

namespace alcove::devices::vsock {

// Connections at one time, those under way included; and no more than half of the descriptors that the
// process may have, as each takes one and a process without any left could not do anything else.
inline constexpr size_t kMostConnections = 16384;
// Those that the host has not answered yet.
inline constexpr size_t kMostAsked = 128;
// What is kept of a connection's bytes when the host does not read: the first ones get more, so that all
// together is bounded by 128 MiB.
inline constexpr size_t kLargeRooms = 256;
inline constexpr uint32_t kLargeRoom = 256 * 1024;
inline constexpr uint32_t kSmallRoom = 4096;
// Answers to what belongs to no connection that wait for buffers of the guest: with more, nothing is taken
// from it before it gives some.
inline constexpr size_t kMostReplies = 256;

// Belongs to the thread of its loop.
class Switchboard {
 public:
  // The guest wants to connect to a port of the host's: answer() is to be called, some time.
  using Asked = std::function<void(uint64_t id, Ports ports)>;
  // The connection's port at the host.
  using Connected = std::move_only_function<void(Result<uint32_t>)>;

  // Of a device, whatever its driver does.
  struct Questions {
    uint64_t next_id = 1;  // No two connections have the same.
    // answer() has not been called. The guest may not want any more, but who asks has not forgotten.
    std::set<uint64_t> unanswered;
  };
  Switchboard(exec::EventLoop& loop, uint64_t guest_cid, virtio::Activation activation, const Asked& asked,
              Questions& questions);
  // Ends all connections. `connected` of those under way is called.
  ~Switchboard();
  Switchboard(const Switchboard&) = delete;
  Switchboard& operator=(const Switchboard&) = delete;

  // Nothing is done before start() and after halt().
  void start();
  void halt();

  // `socket`, a stream socket, belongs to the connection from now on.
  void connect(uint32_t guest_port, UniqueFd socket, std::chrono::milliseconds timeout, Connected connected);
  // Without a socket the guest is refused. Fails if it does not want to connect any more.
  Result<> answer(uint64_t id, UniqueFd socket);

  size_t connection_count() const { return table_.size() + draining_.size(); }

 private:
  using State = Connection::State;

  void serve_transmit();
  void receive(const virtio::Chain& chain);
  void receive(Connection& connection, const virtio::Chain& chain, const Packet& packet);
  void receive_request(const Packet& packet);
  void receive_first(Connection& connection, const Packet& packet);
  void receive_data(Connection& connection, const virtio::Chain& chain, uint32_t size);
  void receive_shutdown(Connection& connection, uint32_t flags);

  void socket_ready(Connection& connection, uint32_t events);
  void hear(Connection& connection);
  void after_flush(Connection& connection);
  void host_closed(Connection& connection);
  void drain(Connection& connection);

  Connection* add(Ports ports, State state);
  void open(Connection& connection);
  void refuse(Connection& connection, Error error);
  void reset(Connection& connection);
  void drop(Connection& connection);
  void forget_waiting(Connection& connection);
  void close_all(const Error& error);

  void reply_reset(Ports ports, uint16_t type = wire::kTypeStream);
  void speak(Connection& connection, unsigned due);
  void tell_shutdown(Connection& connection);
  bool send_due(Connection& connection);
  void send_what_is_due();
  void end_turn();
  void fail();

  void watch(Connection& connection);
  void unwatch(Connection& connection);

  exec::EventLoop& loop_;
  const uint64_t guest_cid_;
  const Asked& asked_;
  Questions& questions_;
  const size_t most_connections_;
  virtio::Interrupts* const interrupts_;
  const std::vector<int> doorbells_;
  std::unique_ptr<virtio::Queue> transmit_;
  Inbox inbox_;

  std::map<Ports, std::unique_ptr<Connection>> table_;
  std::list<std::unique_ptr<Connection>> draining_;
  std::map<uint64_t, Connection*> asked_host_;
  std::map<uint64_t, Connected> asked_guest_;
  size_t large_rooms_ = 0;
  uint32_t next_port_;

  std::deque<wire::Header> replies_;          // To what belongs to no connection.
  std::deque<Connection*> due_;               // Those with packets to be sent,
  std::deque<Connection*> waiting_for_room_;  // and those with payload.
  bool running_ = false, failed_ = false, transmit_waits_ = false;
};

}  // namespace alcove::devices::vsock
