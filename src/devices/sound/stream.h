// One stream of a sound device: its life (virtio 1.2, section 5.14.6.6.1), and the pace at which it moves
// samples.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "audio/endpoint.h"
#include "devices/sound/catalog.h"
#include "devices/sound/requests.h"
#include "exec/virtual_clock.h"

namespace alcove::devices::sound {

// For one thread. Times are a VirtualClock's.
class Stream {
 public:
  using End = std::variant<std::unique_ptr<audio::Output>, std::unique_ptr<audio::Input>>;
  using Status = spec::virtio_sound::Status;
  // Gives a message back: what became of it, what the host has not yet played or has recorded and not given
  // away, and how many samples (in bytes) it was filled with.
  struct Outcome {
    Status status = Status::ok;
    uint32_t latency = 0;
    uint32_t filled = 0;
  };
  using Finish = std::function<void(virtio::Chain& message, const Outcome& outcome)>;

  explicit Stream(End end) : end_(std::move(end)) {}

  bool is_output() const { return std::holds_alternative<std::unique_ptr<audio::Output>>(end_); }
  audio::Endpoint& endpoint() const;

  // What the driver asks; bad_message where it is not its turn. What lets go of messages gives them back.
  Status set(const Parameters& parameters, const Finish& finish);
  Status command(uint32_t code, exec::Nanoseconds now, const Finish& finish);
  // ok, and the message is the stream's; otherwise why not, and it is not.
  Status take(virtio::Chain& message, uint32_t size, exec::Nanoseconds now);

  // Moves what is due, and gives back the messages that are through. Tells when there is more to do, unless
  // somebody else does.
  std::optional<exec::Nanoseconds> advance(exec::Nanoseconds now, const Finish& finish);

  // The machine pauses and goes on; the clock stands meanwhile.
  void pause();
  void resume();
  // As new. The messages are nobody's any more.
  void reset();

 private:
  enum class State { initial, set, prepared, running, stopped, released };
  struct Message {
    virtio::Chain chain;
    uint32_t size;
    uint32_t done = 0;
    bool whole = true;  // Nothing was lost of it.
  };

  exec::Nanoseconds duration(uint64_t frames) const;
  // When the sample that is next is due.
  exec::Nanoseconds position() const { return start_ + duration(frames_); }
  void move(Message& message, uint32_t size);
  void finish_all(const Finish& finish);
  Status prepare();
  Status start(exec::Nanoseconds now);
  Status stop(exec::Nanoseconds now);

  End end_;
  State state_ = State::initial;
  Parameters parameters_;
  uint32_t frame_size_ = 1;
  std::deque<Message> messages_;
  exec::Nanoseconds start_{0};     // When the first sample was due, had there been no stops.
  exec::Nanoseconds progress_{0};  // While it is stopped: how long it had run.
  uint64_t frames_ = 0;            // Moved since it was prepared.
  std::vector<std::byte> buffer_;
};

}  // namespace alcove::devices::sound
