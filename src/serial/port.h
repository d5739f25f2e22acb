// The host's side of a serial line: what carries a console's bytes between a device and descriptors.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "exec/event_loop.h"
#include "support/log_ring.h"
#include "support/unique_fd.h"

namespace alcove::serial {

// The device at the guest's end. Called on the port's loop, never with a lock of the port held.
class Listener {
 public:
  virtual ~Listener() = default;
  // Takes as much as it has room for and returns how much; Port::ready() brings the rest.
  virtual size_t receive(std::span<const std::byte> input) = 0;
  // There is room again after write() took less than it was offered.
  virtual void writable() = 0;
};

// What a port reads from and writes to: pipes, sockets, terminals, pty masters, files; either may be missing.
// One object for both directions is given as two descriptors (see duplex()). They may be shared with other
// processes: their flags stay as they are, whether O_NONBLOCK is set or not.
struct Attachment {
  UniqueFd reading;
  UniqueFd writing;
  static Attachment duplex(UniqueFd fd);
};

struct PortOptions {
  size_t queue_size = 64 * 1024;
  // How long a writing end that takes nothing may hold the guest up. After that, output is dropped and
  // counted until it takes bytes again. Nothing: for ever.
  std::optional<std::chrono::milliseconds> patience{500};
};

// All members may be called from any thread. The loop must run for as long as the port lives.
class Port {
 public:
  // `log` keeps the latest output, whether anything is attached or not.
  Port(exec::EventLoop& loop, LogRing log, PortOptions options = {});
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // When it returns, the former listener is not called again.
  void set_listener(Listener* listener);
  // Takes the place of what was attached, from which nothing more is read; what it has not yet taken is lost.
  void attach(Attachment attachment);
  // Guest output. Never blocks; returns how much was taken, less than offered only while the queue is full
  // and patience lasts; Listener::writable() follows.
  size_t write(std::span<const std::byte> output);
  // The listener has room for input again.
  void ready();

  const LogRing& log() const { return log_; }
  uint64_t dropped() const;  // Bytes of output that an attached writing end did not take.
  exec::EventLoop& loop() { return loop_; }

 private:
  struct End {
    UniqueFd fd;
    bool pollable = false;
    bool socket = false;
    bool may_block = false;  // Shared with others who want it to block, so ask poll() before each access.
    bool watched = false;
    std::optional<exec::EventLoop::TimerId> retry;
  };
  void open(End& end, UniqueFd fd);
  void close(End& end);
  void watch(End& end, uint32_t events);
  void unwatch(End& end);
  void retry_later(End& end);

  static ssize_t write_to(const End& end, std::span<const std::byte> data);
  static ssize_t read_from(const End& end, std::span<std::byte> data);
  void flush();
  // Waits for what comes right behind.
  void flush_soon();
  void stop_writing();
  void tell_writable();
  void arm_patience();
  void disarm_patience();

  void pump_input();
  void deliver();
  void post(void (Port::*work)());

  exec::EventLoop& loop_;
  const PortOptions options_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // Gone when posted work must not run any more.
  LogRing log_;

  mutable std::mutex mutex_;  // Guards the queue and its state.
  std::vector<std::byte> queue_;
  bool writing_ = false;  // A descriptor takes output.
  bool flush_posted_ = false;
  bool much_posted_ = false;  // That it is not to wait any longer.
  bool refused_ = false;      // write() took less than offered since the last writable().
  bool gave_up_ = false;
  uint64_t dropped_ = 0;

  std::atomic<bool> stalled_ = false;  // The listener may have taken less than there was.

  // The loop's thread only.
  Listener* listener_ = nullptr;
  End input_, output_;
  std::vector<std::byte> pending_input_;
  std::optional<exec::EventLoop::TimerId> patience_timer_, flush_timer_;
};

}  // namespace alcove::serial
