// One end of the socket between an application and a machine's process: messages with file descriptors.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "config/json.h"
#include "control/frame.h"
#include "exec/event_loop.h"
#include "support/unique_fd.h"

namespace alcove::control {

using config::Json;

// A connected pair of stream sockets, close-on-exec.
Result<std::pair<UniqueFd, UniqueFd>> socket_pair();

// Belongs to the thread of its loop; every call and callback happens there.
class Channel {
 public:
  // The descriptors that came with a message, in the order sent.
  using OnMessage = std::move_only_function<void(Json message, std::vector<UniqueFd> descriptors)>;
  // Called once when the other side is gone, or has sent what is no message; nothing follows.
  using OnClosed = std::move_only_function<void(Error)>;

  // Most descriptors in one message, and most that wait for theirs.
  static constexpr size_t kMostDescriptors = 1024;

  Channel(exec::EventLoop& loop, UniqueFd socket, OnMessage on_message, OnClosed on_closed);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Never waits: what the socket does not take now is kept. Adds the member "descriptor_count" to the
  // message.
  void send(Json message, std::vector<UniqueFd> descriptors = {});
  // Bytes kept because the other side does not read.
  size_t backlog() const { return backlog_; }
  // Called whenever the backlog has become empty.
  void on_drained(std::move_only_function<void()> callback) { on_drained_ = std::move(callback); }
  // While it does not read, what the other side sends waits there. Once that is gone, what it left is read
  // all the same.
  void set_reading(bool reading);
  // Waits until everything is sent or `deadline` passed; for a process that is about to end.
  void flush(exec::Clock::time_point deadline);

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<UniqueFd> descriptors;
  };
  void ready(uint32_t events);
  void watch();
  bool write_some();
  // Tells whether there may be more to read.
  bool read_some();
  void deliver();
  void close(std::string why);

  exec::EventLoop& loop_;
  UniqueFd socket_;
  OnMessage on_message_;
  OnClosed on_closed_;
  std::move_only_function<void()> on_drained_;
  FrameReader reader_;
  std::deque<UniqueFd> received_;
  std::deque<Outgoing> outgoing_;
  size_t backlog_ = 0;
  bool watching_output_ = false;
  bool reading_ = true;
  bool hung_up_ = false;                                        // The other side is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // False once destroyed, also by a callback.
};

}  // namespace alcove::control
