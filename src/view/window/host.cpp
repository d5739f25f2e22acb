#include "view/window/host.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "support/thread.h"

namespace alcove::view::window {

Result<std::unique_ptr<Host>> Host::create(VirtualMachine& machine, size_t display, UniqueFd socket,
                                           OnWish on_wish) {
  std::unique_ptr<Host> host(new Host(std::move(on_wish)));
  auto shown = show_machine(machine, display, [&loop = host->loop_, self = host.get()] {
    asio::post(loop, [self] { self->tell_situation(); });
  });
  if (!shown) return std::unexpected(std::move(shown.error()));
  host->shown_ = *std::move(shown);
  error_code error;
  host->socket_.assign(asio::local::stream_protocol(), socket.get(), error);
  if (error)
    return fail(ErrorCode::internal, "", "the connection to a window is no socket: " + error.message());
  (void)socket.release();
  host->read();
  host->thread_ = start_thread("alcove-window", [self = host.get()] {
    // Changes of the machine's state are posted as long as they are observed.
    const auto work = asio::make_work_guard(self->loop_);
    self->loop_.run();
  });
  return host;
}

Host::~Host() {
  if (!thread_.joinable()) return;
  loop_.stop();
  thread_.join();
  shown_.reset();  // Nothing is posted after that.
}

bool Host::wait_until_ready() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return phase_ != Phase::connecting; });
  return phase_ == Phase::ready;
}

bool Host::is_ready() const {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::ready;
}

bool Host::is_open() const {
  const std::lock_guard lock(mutex_);
  return phase_ != Phase::closed;
}

void Host::set_phase(Phase phase) {
  {
    const std::lock_guard lock(mutex_);
    phase_ = phase;
  }
  changed_.notify_all();
}

void Host::read() {
  socket_.async_read_some(asio::buffer(buffer_), [this](const error_code& error, size_t size) {
    if (!socket_.is_open()) return;
    if (error) return close();
    incoming_.feed({buffer_.data(), size});
    take_lines() ? read() : close();
  });
}

// False for what is no line of ours: no such program is spoken to.
bool Host::take_lines() {
  while (const auto item = incoming_.next()) {
    if (const auto* contents = std::get_if<ClipboardContents>(&*item)) {
      if (!is_ready()) return false;
      shown_->set_clipboard(*contents);
      continue;
    }
    const auto message = message_from_line(std::get<std::string>(*item));
    if (!message || !take(*message)) return false;
  }
  return !incoming_.failed();
}

bool Host::take(const Message& message) {
  const auto* const word = std::get_if<Word>(&message);
  if ((word && *word == Word::hello) == is_ready()) return false;
  if (const auto* event = std::get_if<InputEvent>(&message)) {
    shown_->send(*event);
  } else if (const auto* configuration = std::get_if<VirtioGraphicsScanoutConfiguration>(&message)) {
    shown_->reconfigure(*configuration);
  } else if (*word == Word::hello) {
    return begin();
  } else if (*word == Word::release) {
    shown_->release_all();
  } else {
    on_wish_(*word == Word::stop ? WindowWish::stop : WindowWish::shut_down);
  }
  return true;
}

bool Host::begin() {
  if (!shown_->reader().lend(socket_.native_handle())) return false;
  set_phase(Phase::ready);
  tell_situation();
  return true;
}

void Host::tell_situation() {
  next_ = to_line(Situation{
      .state = shown_->state(), .starts = shown_->starts(), .size = shown_->size(), .name = shown_->name()});
  tell_clipboard();
  flush();
}

void Host::tell_clipboard() {
  const uint64_t changes = shown_->clipboard_changes();
  if (std::exchange(clipboard_told_, changes) != changes) next_clipboard_ = to_bytes(shown_->clipboard());
}

void Host::flush() {
  if (!is_ready()) return;
  if (!sending_.empty() || (next_.empty() && next_clipboard_.empty())) return;
  sending_ = std::exchange(next_, {}) + std::exchange(next_clipboard_, {});
  asio::async_write(socket_, asio::buffer(sending_), [this](const error_code& error, size_t) {
    if (!socket_.is_open()) return;
    if (error) return close();
    sending_.clear();
    flush();
  });
}

void Host::close() {
  error_code ignored;
  socket_.close(ignored);
  shown_->release_all();
  set_phase(Phase::closed);
  on_wish_(WindowWish::none);
}

}  // namespace alcove::view::window
