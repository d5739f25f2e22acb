// Both sorts of PipeWire streams. What the server's real-time thread calls neither waits nor allocates: a
// ring and atomic numbers are between it and the stream's user.
#pragma once

#include <pipewire/pipewire.h>

#include <atomic>
#include <chrono>

#include "audio/pipewire/connection.h"
#include "audio/ring.h"

namespace alcove::audio {

class PipeWireStream {
 public:
  PipeWireStream(const PipeWireStream&) = delete;
  PipeWireStream& operator=(const PipeWireStream&) = delete;

 protected:
  PipeWireStream(std::shared_ptr<PipeWireConnection> connection, pw_direction direction);
  virtual ~PipeWireStream();

  // Has a stream of this format, not yet active.
  bool open(const Format& format, std::chrono::milliseconds ring);
  void close();  // Before any member of a derived class goes.
  void start();
  void set_active(bool active);
  // Whether the server's time passes.
  bool is_moving() const;

  // On the real-time thread: a buffer of the server's, with samples or for some.
  virtual void process(pw_buffer& buffer) = 0;
  // The stream has done for now what it was to do; the real-time thread says it.
  void tell_idle() { pw_loop_signal_event(connection_->loop(), idle_); }

  uint32_t bytes_in(std::chrono::milliseconds time) const;

  const std::shared_ptr<PipeWireConnection> connection_;
  const UniqueFd event_;
  Format format_;
  uint32_t frame_size_ = 1;
  Ring ring_;
  std::atomic<bool> is_running_ = false;  // Its user has it started.
  std::atomic<uint32_t> delay_ = 0;       // Between the ring and the hardware, in bytes.

 private:
  using Clock = std::chrono::steady_clock;
  static void on_process(void* data);
  static void on_state(void* data, pw_stream_state before, pw_stream_state state, const char* error);
  static void on_idle(void* data, uint64_t count);
  void note_delay();

  const pw_direction direction_;
  pw_stream* stream_ = nullptr;
  spa_source* idle_ = nullptr;
  spa_hook listener_{};
  std::atomic<bool> is_broken_ = false;
  std::atomic<Clock::rep> last_cycle_ = 0;  // Or start, whichever came later.
};

class PipeWireOutput final : public Output, private PipeWireStream {
 public:
  explicit PipeWireOutput(std::shared_ptr<PipeWireConnection> connection)
      : PipeWireStream(std::move(connection), PW_DIRECTION_OUTPUT) {}
  ~PipeWireOutput() override { close(); }

  const Offer& offer() const override { return offer_; }
  bool prepare(const Format& format) override;
  void start() override { PipeWireStream::start(); }
  // What is in the ring is still played.
  void stop() override { is_running_ = false; }
  std::optional<uint64_t> ready() override;
  int event() const override { return event_.get(); }
  uint32_t latency() override;
  bool write(std::span<const std::byte> frames) override;

 private:
  void process(pw_buffer& buffer) override;

  const Offer offer_ = Offer::anything();
  std::atomic<uint32_t> target_ = 0;  // What the ring should hold, in bytes.
  unsigned empty_cycles_ = 0;         // The real-time thread's.
};

class PipeWireInput final : public Input, private PipeWireStream {
 public:
  explicit PipeWireInput(std::shared_ptr<PipeWireConnection> connection)
      : PipeWireStream(std::move(connection), PW_DIRECTION_INPUT) {}
  ~PipeWireInput() override { close(); }

  const Offer& offer() const override { return offer_; }
  bool prepare(const Format& format) override;
  void start() override { PipeWireStream::start(); }
  void stop() override;
  std::optional<uint64_t> ready() override;
  int event() const override { return event_.get(); }
  uint32_t latency() override;
  bool read(std::span<std::byte> frames) override;

 private:
  void process(pw_buffer& buffer) override;

  const Offer offer_ = Offer::anything();
};

}  // namespace alcove::audio
