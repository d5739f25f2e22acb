#include "network/cable_network.h"

#include <sys/epoll.h>

#include <utility>

#include "network/segmenter.h"
#include "spec/internet.h"

namespace alcove::network {

namespace {

constexpr std::chrono::milliseconds kNotificationDelay{100};
constexpr std::chrono::seconds kTimeBetweenChecks{1};
// Frames that one turn of the loop takes, so that a peer that never ceases leaves it to others.
constexpr unsigned kTurn = 256;

using Outcome = FramePort::Outcome;

}  // namespace

CableNetwork::CableNetwork(exec::EventLoop& loop, std::unique_ptr<FramePort> port, CableOptions options)
    : loop_(loop), port_(std::move(port)), options_(std::move(options)), addresses_(options_.mac_address) {}

CableNetwork::~CableNetwork() {
  loop_.call([this] {
    receiver_ = nullptr;
    unwatch();
    if (notification_) loop_.cancel(*notification_);
    if (check_) loop_.cancel(*check_);
  });
}

void CableNetwork::connect(FrameReceiver* receiver) {
  receiver_ = receiver;
  watch();
  if (receiver && !check_ && port_->is_to_be_checked()) check();
}

void CableNetwork::check() {
  check_.reset();
  if (failed_) return;
  if (port_->check() == Outcome::closed) return fail();
  check_ = loop_.call_at(exec::Clock::now() + kTimeBetweenChecks, [this] { check(); });
}

void CableNetwork::watch() {
  if (paused_ || failed_ || !receiver_) return unwatch();
  const uint32_t wanted = EPOLLIN | (waiting_.empty() && !port_->has_unsent() ? 0u : EPOLLOUT);
  if (wanted == watched_) return;
  if (watched_ == 0) {
    loop_.watch(port_->descriptor(), wanted, [this](uint32_t events) { ready(events); });
  } else {
    loop_.change(port_->descriptor(), wanted);
  }
  watched_ = wanted;
}

void CableNetwork::unwatch() {
  if (std::exchange(watched_, 0) != 0) loop_.unwatch(port_->descriptor());
}

void CableNetwork::ready(uint32_t events) {
  if (events & EPOLLOUT) drain();
  // The end of a connection is found by reading, too, after what came before it.
  if (!failed_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive();
  watch();
}

void CableNetwork::receive() {
  Bytes frame;
  for (unsigned count = 0; count < kTurn; ++count) {
    switch (port_->receive(frame)) {
      case Outcome::full:
        return;
      case Outcome::closed:
        return fail();
      case Outcome::lost:
        continue;
      case Outcome::done:
        break;
    }
    if (addresses_.see_to_guest(frame)) addresses_changed();
    receiver_->receive(frame, has_right_tcp_checksums(frame) ? Checksums::right : Checksums::unknown);
  }
}

void CableNetwork::transmit(Bytes frame, size_t segment_size) {
  if (failed_) return;
  if (addresses_.see_from_guest(frame)) addresses_changed();
  const auto headers = segment_size != 0 ? tcp_headers(frame) : std::nullopt;
  const bool is_large = frame.size() > largest_frame(frame, port_->mtu()) ||
                        (headers && frame.size() - headers->total() > segment_size);
  if (is_large && !port_->takes_large_segments()) {
    cut_segments(frame, segment_size, port_->mtu(), [this](Bytes segment) { send(segment, 0); });
  } else {
    send(frame, is_large ? segment_size : 0);
  }
  watch();
}

void CableNetwork::send(Bytes frame, size_t segment_size) {
  if (failed_) return;
  if (waiting_.empty()) {
    const Outcome outcome = port_->send(frame, segment_size);
    if (outcome == Outcome::closed) return fail();
    if (outcome != Outcome::full) return;
  }
  if (waiting_.size() == kMostWaiting || waiting_bytes_ + frame.size() > kMostWaitingBytes) return;
  waiting_bytes_ += frame.size();
  waiting_.push_back({.frame = {frame.begin(), frame.end()}, .segment_size = segment_size});
}

void CableNetwork::drain() {
  Outcome outcome = port_->flush();
  while (outcome != Outcome::full && outcome != Outcome::closed && !waiting_.empty()) {
    outcome = port_->send(waiting_.front().frame, waiting_.front().segment_size);
    if (outcome == Outcome::full) break;
    waiting_bytes_ -= waiting_.front().frame.size();
    waiting_.pop_front();
  }
  if (outcome == Outcome::closed) fail();
}

// Told in a turn of its own, as this may be in the middle of a guest's request.
void CableNetwork::fail() {
  if (std::exchange(failed_, true)) return;
  unwatch();
  waiting_.clear();
  waiting_bytes_ = 0;
  if (!options_.failed) return;
  loop_.post([failed = options_.failed, reason = port_->reason()] {
    failed({ErrorCode::network_error, "attachment", reason, "attach it anew"});
  });
}

void CableNetwork::addresses_changed() {
  if (notification_ || !options_.addresses_changed) return;
  notification_ = loop_.call_at(exec::Clock::now() + kNotificationDelay, [this] {
    notification_.reset();
    options_.addresses_changed();
  });
}

void CableNetwork::pause() {
  paused_ = true;
  unwatch();
}

void CableNetwork::resume() {
  paused_ = false;
  watch();
}

std::vector<std::string> CableNetwork::addresses() const {
  std::vector<std::string> result;
  loop_.call([&] { result = addresses_.list(); });
  return result;
}

}  // namespace alcove::network
