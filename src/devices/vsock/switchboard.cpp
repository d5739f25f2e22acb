#include "devices/vsock/switchboard.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <random>
#include <utility>

#include "support/descriptor_budget.h"

namespace alcove::devices::vsock {

namespace {

// Reads of one socket in a turn.
constexpr unsigned kReads = 8;
// How long the guest may take to confirm a connection's end. It takes as long itself.
constexpr std::chrono::seconds kTimeToClose{8};
// Ports for connections of the host's are from here on.
constexpr uint32_t kFirstPort = 0x40000000;

size_t most_connections() {
  return std::min(descriptor_budget(DescriptorUser::sockets), kMostConnections);
}

uint32_t random_port() {
  std::random_device device;
  return std::uniform_int_distribution<uint32_t>(kFirstPort, wire::kNoPort - 1)(device);
}

Error gone(std::string what) {
  return {ErrorCode::network_error, "", std::move(what), ""};
}

}  // namespace

Switchboard::Switchboard(exec::EventLoop& loop, uint64_t guest_cid, virtio::Activation activation,
                         const Asked& asked, Questions& questions)
    : loop_(loop),
      guest_cid_(guest_cid),
      asked_(asked),
      questions_(questions),
      most_connections_(most_connections()),
      interrupts_(activation.interrupts),
      doorbells_(std::move(activation.doorbells)),
      transmit_(std::move(activation.queues.at(wire::kTransmitQueue))),
      inbox_(std::move(activation.queues.at(wire::kReceiveQueue))),
      next_port_(random_port()) {}

Switchboard::~Switchboard() {
  halt();
  close_all(gone("the guest's driver ended, or the machine did"));
}

void Switchboard::start() {
  if (running_ || failed_) return;
  running_ = true;
  const auto listen = [this](unsigned queue, void (Switchboard::*work)()) {
    const int doorbell = doorbells_.at(queue);
    loop_.watch(doorbell, EPOLLIN, [this, doorbell, work](uint32_t) {
      eventfd_t ignored;
      eventfd_read(doorbell, &ignored);
      (this->*work)();
    });
    eventfd_write(doorbell, 1);  // There may be buffers already.
  };
  if (transmit_) listen(wire::kTransmitQueue, &Switchboard::serve_transmit);
  listen(wire::kReceiveQueue, &Switchboard::end_turn);
  // Those that the guest has not answered yet are left alone until then, whether or not the host waits for
  // it.
  for (const auto& [ports, connection] : table_)
    if (connection->state != State::asked_guest) watch(*connection);
  for (const auto& connection : draining_) watch(*connection);
}

void Switchboard::halt() {
  if (!std::exchange(running_, false)) return;
  for (int doorbell : doorbells_) loop_.unwatch(doorbell);
  for (const auto& [ports, connection] : table_) unwatch(*connection);
  for (const auto& connection : draining_) unwatch(*connection);
}

void Switchboard::fail() {
  halt();
  failed_ = true;
  close_all(gone("the guest's driver broke its queues"));
  interrupts_->needs_reset();
}

void Switchboard::close_all(const Error& error) {
  while (!table_.empty()) refuse(*table_.begin()->second, error);
  while (!draining_.empty()) drop(*draining_.front());
  replies_.clear();
}

// The host's wishes.

void Switchboard::connect(uint32_t guest_port, UniqueFd socket, std::chrono::milliseconds timeout,
                          Connected connected) {
  if (failed_) return connected(std::unexpected(gone("the guest's driver broke its queues")));
  do {
    next_port_ = next_port_ + 1 < wire::kNoPort ? std::max(next_port_ + 1, kFirstPort) : kFirstPort;
  } while (table_.contains({guest_port, next_port_}));
  Connection* connection = add({guest_port, next_port_}, State::asked_guest);
  if (!connection) {
    return connected(alcove::fail(
        ErrorCode::virtual_machine_limit_exceeded, "",
        fmt::format("the machine has {} connections, more than which it can't have", most_connections_)));
  }
  connection->socket = std::move(socket);
  asked_guest_.emplace(connection->id, std::move(connected));
  connection->timer = loop_.call_at(exec::Clock::now() + timeout, [this, connection] {
    connection->timer.reset();
    reply_reset(connection->ports);
    refuse(*connection, gone("the guest did not answer in time"));
    if (running_) end_turn();
  });
  speak(*connection, Connection::kRequest);
  if (running_) end_turn();
}

Result<> Switchboard::answer(uint64_t id, UniqueFd socket) {
  questions_.unanswered.erase(id);
  const auto found = asked_host_.find(id);
  if (found == asked_host_.end()) return std::unexpected(gone("the guest does not want to connect any more"));
  Connection& connection = *found->second;
  asked_host_.erase(found);
  if (socket) {
    connection.socket = std::move(socket);
    speak(connection, Connection::kResponse);
    open(connection);
  } else {
    reset(connection);
  }
  if (running_) end_turn();
  return {};
}

// The table of connections.

Connection* Switchboard::add(Ports ports, State state) {
  if (connection_count() >= most_connections_) return nullptr;
  const bool is_large = large_rooms_ < kLargeRooms;
  large_rooms_ += is_large;
  auto connection = std::make_unique<Connection>(ports, state, is_large ? kLargeRoom : kSmallRoom);
  connection->id = questions_.next_id++;
  return table_.emplace(ports, std::move(connection)).first->second.get();
}

void Switchboard::open(Connection& connection) {
  connection.state = State::open;
  if (connection.timer) loop_.cancel(*connection.timer);
  connection.timer.reset();
  connection.wants_input = true;
  watch(connection);
}

// Ends it without a word to the guest.
void Switchboard::refuse(Connection& connection, Error error) {
  auto asked = asked_guest_.extract(connection.id);
  drop(connection);
  if (asked) asked.mapped()(std::unexpected(std::move(error)));
}

void Switchboard::reset(Connection& connection) {
  reply_reset(connection.ports);
  refuse(connection, gone("the guest broke the protocol"));
}

void Switchboard::forget_waiting(Connection& connection) {
  connection.waits_for_credit = false;
  if (std::exchange(connection.waits_for_room, false)) std::erase(waiting_for_room_, &connection);
}

void Switchboard::drop(Connection& connection) {
  unwatch(connection);
  if (connection.timer) loop_.cancel(*connection.timer);
  forget_waiting(connection);
  if (connection.is_due) std::erase(due_, &connection);
  asked_host_.erase(connection.id);
  large_rooms_ -= connection.room() == kLargeRoom;
  if (connection.state == State::draining) {
    std::erase_if(draining_, [&](const auto& other) { return other.get() == &connection; });
  } else {
    table_.erase(Ports(connection.ports));
  }
}

// The guest is done with it, but has sent what the socket has not taken.
void Switchboard::drain(Connection& connection) {
  forget_waiting(connection);
  connection.wants_input = false;
  if (connection.is_due) std::erase(due_, &connection);
  connection.is_due = false;
  connection.due = 0;
  auto node = table_.extract(Ports(connection.ports));
  connection.state = State::draining;
  draining_.push_back(std::move(node.mapped()));
  watch(connection);
}

// What the sockets do.

void Switchboard::watch(Connection& connection) {
  if (!running_ || !connection.socket) return;
  uint32_t events = 0;
  if (connection.wants_input) events |= EPOLLIN;
  if (connection.has_kept()) events |= EPOLLOUT;
  if (!connection.is_watched) {
    connection.is_watched = true;
    loop_.watch(connection.socket.get(), events,
                [this, &connection](uint32_t ready) { socket_ready(connection, ready); });
  } else if (events != connection.watched) {
    loop_.change(connection.socket.get(), events);
  }
  connection.watched = events;
}

void Switchboard::unwatch(Connection& connection) {
  if (std::exchange(connection.is_watched, false)) loop_.unwatch(connection.socket.get());
}

void Switchboard::socket_ready(Connection& connection, uint32_t events) {
  const bool has_hung_up = events & (EPOLLHUP | EPOLLERR);
  if (connection.has_kept() && (has_hung_up || (events & EPOLLOUT))) {
    connection.flush();
    if (connection.state == State::draining && !connection.has_kept()) {
      drop(connection);
      return end_turn();
    }
    after_flush(connection);
  }
  if (connection.wants_input) {
    if (has_hung_up || (events & EPOLLIN)) hear(connection);
  } else if (has_hung_up) {
    // What it has sent may still wait for the guest. Being told again and again is of no use.
    if (connection.waits_for_credit || connection.waits_for_room || connection.state == State::draining) {
      unwatch(connection);
    } else {
      host_closed(connection);
    }
  }
  end_turn();
}

void Switchboard::after_flush(Connection& connection) {
  if (connection.owes_credit()) speak(connection, Connection::kCredit);
  tell_shutdown(connection);
  if (connection.is_watched) watch(connection);
}

void Switchboard::hear(Connection& connection) {
  using enum Connection::Delivery;
  connection.waits_for_credit = false;
  connection.wants_input = true;
  for (unsigned reads = 0; reads < kReads; ++reads) {
    // Nothing comes before the guest knows of the connection.
    const auto delivery =
        connection.due & Connection::kResponse ? no_room : connection.deliver(inbox_, guest_cid_);
    if (delivery == more) continue;
    if (delivery == idle) break;
    connection.wants_input = false;
    if (delivery == failed) return reset(connection);
    if (delivery == no_credit) connection.waits_for_credit = true;
    if (delivery == no_room && !std::exchange(connection.waits_for_room, true))
      waiting_for_room_.push_back(&connection);
    if (delivery == ended) {
      if (connection.is_hung_up()) return host_closed(connection);
      tell_shutdown(connection);
    }
    break;
  }
  watch(connection);
}

// It neither sends nor receives any more, and what it sent is on its way.
void Switchboard::host_closed(Connection& connection) {
  forget_waiting(connection);
  unwatch(connection);
  connection.wants_input = false;
  connection.discard();
  connection.socket.reset();
  connection.state = State::closing;
  if (connection.timer) loop_.cancel(*connection.timer);
  connection.timer = loop_.call_at(exec::Clock::now() + kTimeToClose, [this, &connection] {
    connection.timer.reset();
    reset(connection);
    if (running_) end_turn();
  });
  tell_shutdown(connection);
}

// What is sent to the guest.

void Switchboard::reply_reset(Ports ports, uint16_t type) {
  wire::Header header = header_to(guest_cid_, ports, Operation::reset);
  header.type = type;
  replies_.push_back(header);
}

void Switchboard::speak(Connection& connection, unsigned due) {
  connection.due |= due;
  if (!std::exchange(connection.is_due, true)) due_.push_back(&connection);
}

void Switchboard::tell_shutdown(Connection& connection) {
  if (connection.state != State::open && connection.state != State::closing) return;
  if (connection.host_shutdown() & ~connection.told_shutdown) speak(connection, Connection::kShutdown);
}

// False if the guest gave too few buffers.
bool Switchboard::send_due(Connection& connection) {
  constexpr std::pair<unsigned, Operation> kPackets[] = {{Connection::kRequest, Operation::request},
                                                         {Connection::kResponse, Operation::response},
                                                         {Connection::kCredit, Operation::credit_update},
                                                         {Connection::kShutdown, Operation::shutdown}};
  for (const auto& [bit, operation] : kPackets) {
    if (!(connection.due & bit)) continue;
    if (!inbox_.has_room()) return false;
    wire::Header header = connection.header(guest_cid_, operation);
    if (operation == Operation::shutdown)
      header.flags = connection.told_shutdown = connection.host_shutdown();
    inbox_.send(header);
    connection.due &= ~bit;
  }
  return true;
}

void Switchboard::send_what_is_due() {
  for (; !replies_.empty(); replies_.pop_front()) {
    if (!inbox_.has_room()) return;
    inbox_.send(replies_.front());
  }
  for (; !due_.empty(); due_.pop_front()) {
    Connection& connection = *due_.front();
    if (!send_due(connection)) return;
    connection.is_due = false;
  }
  // Each once, in turn.
  for (size_t left = waiting_for_room_.size(); left > 0 && !waiting_for_room_.empty(); --left) {
    if (!inbox_.has_room()) return;
    Connection& connection = *waiting_for_room_.front();
    waiting_for_room_.pop_front();
    connection.waits_for_room = false;
    hear(connection);
  }
}

void Switchboard::end_turn() {
  send_what_is_due();
  // What ended in the course of this has its last word now.
  if (!due_.empty() || !replies_.empty()) send_what_is_due();
  inbox_.notify();
  if (inbox_.is_broken()) return fail();
  if (transmit_waits_ && replies_.size() < kMostReplies) {
    transmit_waits_ = false;
    eventfd_write(doorbells_.at(wire::kTransmitQueue), 1);
  }
}

}  // namespace alcove::devices::vsock
