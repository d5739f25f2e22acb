// The machine's side of a window that another process shows.
#pragma once

#include <alcove/virtual_machine.h>
#include <alcove/window_view.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "support/unique_fd.h"
#include "view/asio.h"
#include "view/shown_machine.h"
#include "view/window/messages.h"

namespace alcove::view::window {

class Host {
 public:
  // What the window asks for the machine, and that it is gone; called on the host's thread.
  using OnWish = std::function<void(WindowWish)>;
  // `socket`: a stream socket to the window's program.
  static Result<std::unique_ptr<Host>> create(VirtualMachine& machine, size_t display, UniqueFd socket,
                                              OnWish on_wish);
  // Ends the connection, whereupon the window closes.
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Until the window's program has said hello; false if it is gone instead.
  bool wait_until_ready();
  bool is_open() const;

 private:
  using Socket = asio::local::stream_protocol::socket;
  enum class Phase { connecting, ready, closed };
  explicit Host(OnWish on_wish) : on_wish_(std::move(on_wish)) {}
  bool is_ready() const;
  void read();
  bool take_lines();
  bool take(const Message& message);
  bool begin();
  void tell_situation();
  void tell_clipboard();
  void flush();
  void close();
  void set_phase(Phase phase);

  asio::io_context loop_{1};
  const OnWish on_wish_;
  std::unique_ptr<ShownMachine> shown_;
  Socket socket_{loop_};
  Incoming incoming_;
  std::array<char, 4096> buffer_{};
  std::string sending_;
  uint64_t clipboard_told_ = 0;  // Of ShownMachine's changes.
  std::string next_clipboard_;
  std::string next_;          // The latest situation, which waits for the one before to be sent.
  mutable std::mutex mutex_;  // Guards phase_.
  std::condition_variable changed_;
  Phase phase_ = Phase::connecting;
  std::thread thread_;
};

}  // namespace alcove::view::window
