#include "devices/net/net.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

#include "spec/virtio.h"

namespace alcove::devices::net {

namespace wire = spec::virtio_net;

namespace {

enum QueueIndex : size_t { kReceive, kTransmit, kControl, kQueues };
constexpr std::array<uint16_t, kQueues> kQueueSizes{256, 256, 64};

// Chains that one turn serves at most, so that a guest that never ceases leaves the loop to others.
constexpr unsigned kTurn = 256;
constexpr size_t kLargestCommand = 8192;
// How long a guest may take to see that its link is down before that is up again.
constexpr std::chrono::seconds kTimeToLook{1};

}  // namespace

Net::Session::Session(virtio::Activation given, MACAddress mac)
    : interrupts(given.interrupts),
      features(given.features),
      doorbells(std::move(given.doorbells)),
      transmit(std::move(given.queues.at(kTransmit))),
      filter(mac),
      merger(features) {
  if (given.queues.at(kReceive)) receiver.emplace(std::move(given.queues[kReceive]), features);
  if (given.queues.size() > kControl) control = std::move(given.queues[kControl]);
}

Net::Net(exec::EventLoop& loop, NetOptions options) : loop_(loop), options_(options) {
  std::ranges::copy(options_.mac_address.bytes(), configuration_.mac);
  configuration_.maximum_queue_pairs = 1;
  configuration_.mtu = options_.mtu;
}

Net::~Net() {
  loop_.call([this] {
    alive_.reset();
    if (waiting_until_) loop_.cancel(*waiting_until_);
    halt();
    if (network_) network_->connect(nullptr);
  });
}

void Net::plug(network::Network* network) {
  loop_.call([&] {
    if (waiting_until_) loop_.cancel(*std::exchange(waiting_until_, std::nullopt));
    const bool was_plugged = network_ || waiting_network_;
    const bool is_seen = session_ && (session_->features & wire::kFeatureStatus);
    waiting_network_ = nullptr;
    if (!network || !was_plugged || !is_seen) return connect(network);
    waiting_network_ = network;
    waiting_until_ = loop_.call_at(exec::Clock::now() + kTimeToLook, [this] { connect_waiting(); });
    connect(nullptr);
  });
}

void Net::connect(network::Network* network) {
  if (network_) network_->connect(nullptr);
  network_ = network;
  if (network_) {
    network_->connect(this);
    paused_ ? network_->pause() : network_->resume();
  }
  std::lock_guard lock(mutex_);
  look_awaited_ = waiting_network_ != nullptr;
  configuration_.status = network_ ? wire::kStatusLinkUp : 0;
  if (session_) session_->interrupts->configuration();
}

void Net::connect_waiting() {
  if (!waiting_network_) return;
  if (waiting_until_) loop_.cancel(*std::exchange(waiting_until_, std::nullopt));
  connect(std::exchange(waiting_network_, nullptr));
}

NetworkDeviceStatistics Net::statistics() const {
  NetworkDeviceStatistics result;
  loop_.call([&] { result = all_statistics(); });
  return result;
}

uint16_t Net::device_id() const {
  return spec::virtio::kNetworkDevice;
}

uint64_t Net::features() const {
  return wire::kFeatureChecksum | wire::kFeatureGuestChecksum | wire::kFeatureMtu | wire::kFeatureMac |
         wire::kFeatureGuestTso4 | wire::kFeatureHostTso4 | wire::kFeatureMergeableBuffers |
         wire::kFeatureStatus | wire::kFeatureControlQueue | wire::kFeatureControlReceive |
         wire::kFeatureControlReceiveExtra | wire::kFeatureControlMac;
}

std::span<const uint16_t> Net::queue_sizes() const {
  return kQueueSizes;
}

void Net::read_config(uint32_t offset, std::span<std::byte> out) {
  std::lock_guard lock(mutex_);
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration_) + offset, out.size());
  constexpr size_t kStatus = offsetof(spec::virtio_net::Configuration, status);
  if (!look_awaited_ || offset > kStatus || offset + out.size() <= kStatus) return;
  look_awaited_ = false;
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) connect_waiting();
  });
}

void Net::activate(virtio::Activation activation) {
  loop_.call([&] {
    session_.emplace(std::move(activation), options_.mac_address);
    if (!paused_) start();
  });
}

void Net::deactivate() {
  loop_.call([this] {
    halt();
    statistics_ = all_statistics();
    session_.reset();
    if (std::exchange(paused_, false) && network_) network_->resume();
    std::lock_guard lock(mutex_);
    std::ranges::copy(options_.mac_address.bytes(), configuration_.mac);
  });
}

void Net::pause() {
  loop_.call([this] {
    paused_ = true;
    halt();
    if (network_) network_->pause();
  });
}

void Net::resume() {
  loop_.call([this] {
    paused_ = false;
    if (session_) start();
    if (network_) network_->resume();
  });
}

void Net::start() {
  if (running_) return;
  running_ = true;
  const auto watch = [this](int doorbell, void (Net::*work)()) {
    loop_.watch(doorbell, EPOLLIN, [this, doorbell, work](uint32_t) {
      eventfd_t ignored;
      eventfd_read(doorbell, &ignored);
      (this->*work)();
    });
    eventfd_write(doorbell, 1);  // There may be buffers already.
  };
  if (session_->receiver) watch(session_->doorbells.at(kReceive), &Net::serve_receive);
  if (session_->transmit) watch(session_->doorbells.at(kTransmit), &Net::serve_transmit);
  if (session_->control) watch(session_->doorbells.at(kControl), &Net::serve_control);
}

void Net::halt() {
  if (!running_) return;
  running_ = false;
  for (int doorbell : session_->doorbells) loop_.unwatch(doorbell);
}

// The driver broke a ring: it has to reset the device.
void Net::fail() {
  virtio::Interrupts* interrupts = session_->interrupts;
  halt();
  statistics_ = all_statistics();
  session_.reset();
  interrupts->needs_reset();
}

NetworkDeviceStatistics Net::all_statistics() const {
  NetworkDeviceStatistics all = statistics_;
  if (!session_ || !session_->receiver) return all;
  all.received_frames += session_->receiver->delivered();
  all.received_bytes += session_->receiver->delivered_bytes();
  all.dropped_received_frames += session_->receiver->dropped();
  return all;
}

void Net::receive(std::span<const std::byte> frame, network::Checksums checksums) {
  if (!running_ || !session_->receiver || !session_->filter.wants(frame)) return;
  if (checksums != network::Checksums::right || !session_->merger.append(frame)) {
    if (!deliver_held()) return;
    session_->merger.begin(frame, checksums);
  }
  deliver_soon();
}

// False if the driver broke its ring.
bool Net::deliver_held() {
  if (session_->merger.empty()) return true;
  if (session_->receiver->add(session_->merger.take()) == Receiver::Outcome::done) return true;
  fail();
  return false;
}

// Frames tend to come in groups, for which one interrupt will do, and one frame if they continue each other.
void Net::deliver_soon() {
  if (std::exchange(delivery_posted_, true)) return;
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    delivery_posted_ = false;
    if (running_ && session_->receiver && deliver_held()) session_->receiver->notify();
  });
}

void Net::serve() {
  if (running_ && session_->receiver) serve_receive();
  if (running_ && session_->transmit) serve_transmit();
  if (running_ && session_->control) serve_control();
}

void Net::serve_receive() {
  // Before what is held, which came later.
  if (session_->receiver->retry() == Receiver::Outcome::broken) return fail();
  if (deliver_held()) session_->receiver->notify();
}

void Net::serve_transmit() {
  virtio::Queue& queue = *session_->transmit;
  queue.set_wants_notifications(false);
  unsigned served = 0;
  for (; served < kTurn; ++served) {
    auto chain = queue.pop();
    if (chain && !*chain) {
      queue.set_wants_notifications(true);
      chain = queue.pop();
      if (chain && !*chain) break;
      queue.set_wants_notifications(false);
    }
    if (!chain) return fail();
    send(**chain);
    // What it sent may have come back on a broken receive ring.
    if (!session_) return;
    queue.push(**chain, 0);
  }
  queue.notify();
  if (served == kTurn) eventfd_write(session_->doorbells.at(kTransmit), 1);
}

void Net::send(const virtio::Chain& chain) {
  auto frame = TransmitFrame::parse(chain, session_->features, options_.mtu, buffer_);
  if (!frame || !network_) {
    ++statistics_.dropped_sent_frames;
    return;
  }
  const size_t segment_size = frame->segment_size();
  const auto bytes = std::move(*frame).finish();
  ++statistics_.sent_frames;
  statistics_.sent_bytes += bytes.size();
  network_->transmit(bytes, segment_size);
}

void Net::serve_control() {
  virtio::Queue& queue = *session_->control;
  unsigned served = 0;
  for (; served < kTurn; ++served) {
    auto chain = queue.pop();
    if (!chain) return fail();
    if (!*chain) break;
    acknowledge(**chain);
    queue.push(**chain, std::min<uint32_t>((*chain)->writable_size(), 1));
  }
  queue.notify();
  if (served == kTurn) eventfd_write(session_->doorbells.at(kControl), 1);
}

void Net::acknowledge(virtio::Chain& chain) {
  std::array<std::byte, kLargestCommand> command;
  const bool fits = chain.readable_size() <= command.size();
  const auto bytes = std::span(command).first(fits ? chain.read(0, command) : 0);
  const std::byte answer{session_->filter.command(bytes) ? wire::kAcknowledged : wire::kRefused};
  {
    std::lock_guard lock(mutex_);
    std::ranges::copy(session_->filter.mac().bytes(), configuration_.mac);
  }
  chain.write(0, std::span(&answer, 1));
}

}  // namespace alcove::devices::net
