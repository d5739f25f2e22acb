#include "devices/sound/stream.h"

#include <algorithm>

namespace alcove::devices::sound {

namespace wire = spec::virtio_sound;

namespace {

constexpr uint32_t kPiece = 64 << 10;  // What is moved at once, about.
// How soon to look again at an end that sets the pace, should it say nothing.
constexpr exec::Nanoseconds kPatience = std::chrono::milliseconds(20);
constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

audio::Endpoint& Stream::endpoint() const {
  return std::visit([](const auto& end) -> audio::Endpoint& { return *end; }, end_);
}

Stream::Status Stream::set(const Parameters& parameters, const Finish& finish) {
  if (state_ == State::running || state_ == State::stopped) return Status::bad_message;
  finish_all(finish);
  if (state_ == State::prepared) endpoint().release();
  parameters_ = parameters;
  frame_size_ = audio::frame_size(parameters.format);
  state_ = State::set;
  return Status::ok;
}

Stream::Status Stream::command(uint32_t code, exec::Nanoseconds now, const Finish& finish) {
  switch (code) {
    case wire::kPcmPrepare:
      return prepare();
    case wire::kPcmStart:
      return start(now);
    case wire::kPcmStop:
      return stop(now);
    default:
      if (state_ != State::prepared && state_ != State::stopped) return Status::bad_message;
      finish_all(finish);
      endpoint().release();
      state_ = State::released;
      return Status::ok;
  }
}

Stream::Status Stream::prepare() {
  if (state_ != State::set && state_ != State::prepared && state_ != State::released)
    return Status::bad_message;
  if (!endpoint().prepare(parameters_.format)) return Status::io_error;
  state_ = State::prepared;
  progress_ = {};
  frames_ = 0;
  return Status::ok;
}

Stream::Status Stream::start(exec::Nanoseconds now) {
  if (state_ != State::prepared && state_ != State::stopped) return Status::bad_message;
  start_ = now - progress_;
  endpoint().start();
  state_ = State::running;
  return Status::ok;
}

Stream::Status Stream::stop(exec::Nanoseconds now) {
  if (state_ != State::running) return Status::bad_message;
  // What waited for messages does not count.
  progress_ = messages_.empty() ? duration(frames_) : now - start_;
  endpoint().stop();
  state_ = State::stopped;
  return Status::ok;
}

Stream::Status Stream::take(virtio::Chain& message, uint32_t size, exec::Nanoseconds now) {
  const bool is_wanted = state_ == State::prepared || state_ == State::running || state_ == State::stopped;
  if (!is_wanted) return Status::io_error;
  if (size > parameters_.buffer_size || size % frame_size_ != 0) return Status::bad_message;
  // There was nothing to do: the next sample is due from now on.
  if (state_ == State::running && messages_.empty() && position() < now) start_ = now - duration(frames_);
  messages_.push_back({.chain = std::move(message), .size = size});
  return Status::ok;
}

exec::Nanoseconds Stream::duration(uint64_t frames) const {
  const uint64_t rate = parameters_.format.sample_rate;
  return exec::Nanoseconds(frames / rate * kNanosecondsPerSecond +
                           frames % rate * kNanosecondsPerSecond / rate);
}

std::optional<exec::Nanoseconds> Stream::advance(exec::Nanoseconds now, const Finish& finish) {
  if (state_ != State::running) return {};
  while (!messages_.empty()) {
    Message& message = messages_.front();
    const uint32_t left = message.size - message.done;
    if (const auto ready = endpoint().ready()) {
      move(message, static_cast<uint32_t>(std::min<uint64_t>(left, *ready / frame_size_ * frame_size_)));
      start_ = now - duration(frames_);
      if (message.done < message.size) return now + kPatience;
    } else {
      const exec::Nanoseconds due = start_ + duration(frames_ + left / frame_size_);
      if (now < due) return due;
      move(message, left);
    }
    finish(message.chain, {.status = message.whole ? Status::ok : Status::io_error,
                           .latency = endpoint().latency(),
                           .filled = is_output() ? 0 : message.size});
    messages_.pop_front();
  }
  return {};
}

void Stream::move(Message& message, uint32_t size) {
  const uint32_t most = kPiece / frame_size_ * frame_size_;
  frames_ += size / frame_size_;
  while (size > 0) {
    const uint32_t count = std::min(size, most);
    buffer_.resize(count);
    if (const auto* output = std::get_if<std::unique_ptr<audio::Output>>(&end_)) {
      message.chain.read(sizeof(wire::TransferHeader) + message.done, buffer_);
      message.whole &= (*output)->write(buffer_);
    } else {
      message.whole &= std::get<std::unique_ptr<audio::Input>>(end_)->read(buffer_);
      message.chain.write(message.done, buffer_);
    }
    message.done += count;
    size -= count;
  }
}

// Section 5.14.6.6.5: a released stream has none.
void Stream::finish_all(const Finish& finish) {
  for (Message& message : messages_) finish(message.chain, {.filled = is_output() ? 0 : message.done});
  messages_.clear();
}

void Stream::pause() {
  if (state_ == State::running) endpoint().stop();
}

void Stream::resume() {
  if (state_ == State::running) endpoint().start();
}

void Stream::reset() {
  messages_.clear();
  if (state_ == State::running) endpoint().stop();
  if (state_ == State::prepared || state_ == State::running || state_ == State::stopped) endpoint().release();
  state_ = State::initial;
}

}  // namespace alcove::devices::sound
