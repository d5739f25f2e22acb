#include "serial/port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace alcove::serial {
namespace {

constexpr size_t kChunk = 4096;
constexpr size_t kSureRoom = 256;
constexpr std::chrono::milliseconds kRetry{200};
// Devices give single bytes: to wake the loop and write for each would take longer than all else. A line of
// 115,200 bits a second needs as long for a dozen.
constexpr std::chrono::milliseconds kGather{1};
constexpr size_t kMuch = 4096;

// Writing to a pipe whose reader is gone must not end the process, whose signal dispositions are not ours.
class NoBrokenPipeSignal {
 public:
  NoBrokenPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoBrokenPipeSignal() {
    const timespec none{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &none);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_, before_;
  bool was_pending_;
};

bool can_poll(int fd) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  return epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

// The master of a pty whose other end nobody has open reports a hang-up, but may be opened again.
bool is_pty_master(int fd) {
  int number;
  return ioctl(fd, TIOCGPTN, &number) == 0;
}

// The same terminal or pipe with file status flags of its own, if the process may open it.
UniqueFd reopen(int fd) {
  const int access = fcntl(fd, F_GETFL) & O_ACCMODE;
  return UniqueFd(
      open(fmt::format("/proc/self/fd/{}", fd).c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

// Nobody has its other end open. What its buffer has room for is kept for whoever comes.
bool is_left_pty(int fd) {
  pollfd probe{.fd = fd, .events = 0, .revents = 0};
  return is_pty_master(fd) && poll(&probe, 1, 0) == 1 && (probe.revents & POLLHUP);
}

bool is_ready(int fd, short events) {
  pollfd probe{.fd = fd, .events = events, .revents = 0};
  return poll(&probe, 1, 0) == 1;
}

}  // namespace

Attachment Attachment::duplex(UniqueFd fd) {
  UniqueFd other(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  return {.reading = std::move(fd), .writing = std::move(other)};
}

Port::Port(exec::EventLoop& loop, LogRing log, PortOptions options)
    : loop_(loop), options_(options), log_(std::move(log)) {}

Port::~Port() {
  loop_.call([this] {
    alive_.reset();
    close(input_);
    flush();
    stop_writing();
  });
}

void Port::post(void (Port::*work)()) {
  loop_.post([this, work, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) (this->*work)();
  });
}

void Port::set_listener(Listener* listener) {
  loop_.call([this, listener] {
    listener_ = listener;
    pump_input();
  });
}

void Port::attach(Attachment attachment) {
  loop_.call([&] {
    close(input_);
    pending_input_.clear();
    flush();
    stop_writing();
    tell_writable();
    open(input_, std::move(attachment.reading));
    open(output_, std::move(attachment.writing));
    {
      std::lock_guard lock(mutex_);
      writing_ = bool(output_.fd);
    }
    pump_input();
  });
}

void Port::open(End& end, UniqueFd fd) {
  end.fd = std::move(fd);
  if (!end.fd) return;
  struct stat status{};
  fstat(end.fd.get(), &status);
  end.socket = S_ISSOCK(status.st_mode);
  end.pollable = can_poll(end.fd.get());
  end.may_block = end.pollable && !end.socket && !(fcntl(end.fd.get(), F_GETFL) & O_NONBLOCK);
  if (!end.may_block) return;
  if (is_pty_master(end.fd.get())) {
    // It can't be opened again, and waits even where poll() tells of room.
    fcntl(end.fd.get(), F_SETFL, fcntl(end.fd.get(), F_GETFL) | O_NONBLOCK);
    end.may_block = false;
    return;
  }
  if (UniqueFd own = reopen(end.fd.get()); own) {
    end.fd = std::move(own);
    end.may_block = false;
  }
}

void Port::close(End& end) {
  unwatch(end);
  if (end.retry) loop_.cancel(*end.retry);
  end.retry.reset();
  end.fd.reset();
}

void Port::watch(End& end, uint32_t events) {
  if (end.watched || end.retry) return;
  end.watched = true;
  loop_.watch(end.fd.get(), events, [this, &end, events](uint32_t ready) {
    // Nothing but a hang-up on an end that is not read to its end of file: asking at once again would spin.
    if (!(ready & events) && is_pty_master(end.fd.get())) return retry_later(end);
    if (&end == &input_) {
      pump_input();
    } else {
      flush();
    }
  });
}

void Port::unwatch(End& end) {
  if (end.watched) loop_.unwatch(end.fd.get());
  end.watched = false;
}

void Port::retry_later(End& end) {
  unwatch(end);
  if (end.retry) return;
  end.retry = loop_.call_at(exec::Clock::now() + kRetry, [this, &end] {
    end.retry.reset();
    if (&end == &output_) return flush();
    if (is_left_pty(end.fd.get())) return retry_later(end);
    pump_input();
  });
}

size_t Port::write(std::span<const std::byte> output) {
  std::unique_lock lock(mutex_);
  size_t taken = output.size();
  if (writing_ && gave_up_) {
    dropped_ += output.size();
  } else if (writing_) {
    taken = std::min(taken, options_.queue_size - queue_.size());
    queue_.insert(queue_.end(), output.begin(), output.begin() + static_cast<ptrdiff_t>(taken));
    refused_ |= taken < output.size();
  }
  log_.append(output.first(taken));
  const bool first = writing_ && !queue_.empty() && !std::exchange(flush_posted_, true);
  const bool much =
      writing_ && queue_.size() >= std::min(kMuch, options_.queue_size) && !std::exchange(much_posted_, true);
  lock.unlock();
  if (much)
    post(&Port::flush);
  else if (first)
    post(&Port::flush_soon);
  return taken;
}

ssize_t Port::write_to(const End& end, std::span<const std::byte> data) {
  NoBrokenPipeSignal guard;
  if (end.socket) return send(end.fd.get(), data.data(), data.size(), MSG_DONTWAIT);
  if (end.may_block && !is_ready(end.fd.get(), POLLOUT)) return errno = EAGAIN, -1;
  // A pipe or terminal that reports room has it for this much.
  return ::write(end.fd.get(), data.data(), end.may_block ? std::min(data.size(), kSureRoom) : data.size());
}

ssize_t Port::read_from(const End& end, std::span<std::byte> data) {
  if (end.socket) return recv(end.fd.get(), data.data(), data.size(), MSG_DONTWAIT);
  if (end.may_block && !is_ready(end.fd.get(), POLLIN)) return errno = EAGAIN, -1;
  return ::read(end.fd.get(), data.data(), data.size());
}

void Port::flush_soon() {
  if (flush_timer_) return;
  flush_timer_ = loop_.call_at(exec::Clock::now() + kGather, [this] {
    flush_timer_.reset();
    flush();
  });
}

void Port::flush() {
  if (flush_timer_) loop_.cancel(*flush_timer_);
  flush_timer_.reset();
  std::array<std::byte, kChunk> chunk;
  while (true) {
    size_t size;
    {
      std::lock_guard lock(mutex_);
      size = std::min(queue_.size(), chunk.size());
      std::copy_n(queue_.begin(), size, chunk.begin());
      flush_posted_ = size > 0;
      much_posted_ &= size > 0;
    }
    if (size == 0 || !output_.fd) {
      unwatch(output_);
      disarm_patience();
      return tell_writable();
    }
    const ssize_t written = write_to(output_, std::span(chunk).first(size));
    const int error = written < 0 ? errno : 0;
    if (error == EINTR) continue;
    const bool has_left = error == EAGAIN && is_left_pty(output_.fd.get());
    if (error == EAGAIN && !has_left) {
      arm_patience();
      watch(output_, EPOLLOUT);
      return tell_writable();
    }
    // A full disk or a pty without its other end may take bytes again later; anything else is closed for
    // good.
    const bool lost = has_left || error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO;
    if (error != 0 && !lost) return stop_writing(), tell_writable();
    disarm_patience();
    std::lock_guard lock(mutex_);
    if (lost) dropped_ += size;
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(lost ? size : written));
    gave_up_ = false;
  }
}

void Port::stop_writing() {
  close(output_);
  disarm_patience();
  if (flush_timer_) loop_.cancel(*flush_timer_);
  flush_timer_.reset();
  std::lock_guard lock(mutex_);
  dropped_ += queue_.size();
  queue_.clear();
  writing_ = gave_up_ = flush_posted_ = much_posted_ = false;
}

void Port::tell_writable() {
  {
    std::lock_guard lock(mutex_);
    if (!refused_ || (writing_ && !gave_up_ && queue_.size() > options_.queue_size / 2)) return;
    refused_ = false;
  }
  if (listener_) listener_->writable();
}

void Port::arm_patience() {
  if (patience_timer_ || !options_.patience) return;
  patience_timer_ = loop_.call_at(exec::Clock::now() + *options_.patience, [this] {
    patience_timer_.reset();
    {
      std::lock_guard lock(mutex_);
      gave_up_ = true;
    }
    tell_writable();
  });
}

void Port::disarm_patience() {
  if (patience_timer_) loop_.cancel(*patience_timer_);
  patience_timer_.reset();
}

uint64_t Port::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

void Port::ready() {
  if (stalled_.exchange(false)) post(&Port::pump_input);
}

void Port::deliver() {
  if (!listener_ || pending_input_.empty()) return;
  // Set first: the listener may have room again, and say so, before receive() has returned.
  stalled_ = true;
  const size_t taken = std::min(listener_->receive(pending_input_), pending_input_.size());
  pending_input_.erase(pending_input_.begin(), pending_input_.begin() + static_cast<ptrdiff_t>(taken));
  if (pending_input_.empty()) stalled_ = false;
}

void Port::pump_input() {
  deliver();
  if (!pending_input_.empty() || !listener_ || !input_.fd) return unwatch(input_);
  // One read a turn, so that an endless source leaves the loop to others.
  std::array<std::byte, kChunk> chunk;
  const ssize_t size = read_from(input_, chunk);
  if (size > 0) {
    pending_input_.assign(chunk.begin(), chunk.begin() + size);
    deliver();
    if (!pending_input_.empty()) return unwatch(input_);
  } else if (size < 0 && errno == EIO && is_pty_master(input_.fd.get())) {
    return retry_later(input_);
  } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
    return close(input_);
  }
  if (input_.pollable) {
    watch(input_, EPOLLIN);
  } else {
    post(&Port::pump_input);
  }
}

}  // namespace alcove::serial
