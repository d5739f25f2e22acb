#include "storage/nbd/nbd_disk.h"

#include <fmt/format.h>
#include <libnbd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "storage/transfer.h"

namespace alcove::storage {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr uint64_t kMostData = 4 << 20;   // Of one request; servers take 32 MiB.
constexpr uint64_t kMostRange = 1 << 30;  // Of one without data.
constexpr size_t kMostRepetitions = 32;   // At once.
// Of these: all have to be answered in the time for one, however slow the connection is.
constexpr uint64_t kMostRepeatedData = 1 << 20;
constexpr uint64_t kRangePerByte = 256;  // So much zeroed or discarded counts as a byte written.
constexpr milliseconds kLongestPause{10000};
constexpr milliseconds kTimeToEnd{5000};

// What the guest has to know, and what no other connection changes. Not of a flush: a server may drop what it
// could not flush, and the next one would succeed without it. All has to be written again before.
bool is_final(int error) {
  return error == ENOSPC || error == EPERM || error == EINVAL || error == EOPNOTSUPP || error == EOVERFLOW;
}

int milliseconds_until(Clock::time_point end) {
  const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

// Lets libnbd do what the socket allows; false when `deadline` has passed.
bool advance(nbd_handle* handle, int wake, Clock::time_point deadline) {
  const unsigned direction = nbd_aio_get_direction(handle);
  pollfd polled[2] = {{nbd_aio_get_fd(handle), 0, 0}, {wake, POLLIN, 0}};
  if (direction & LIBNBD_AIO_DIRECTION_READ) polled[0].events |= POLLIN;
  if (direction & LIBNBD_AIO_DIRECTION_WRITE) polled[0].events |= POLLOUT;
  const int count = poll(polled, wake < 0 ? 1 : 2, milliseconds_until(deadline));
  if (count == 0) return Clock::now() < deadline;
  if (count < 0) return true;
  if (polled[1].revents & POLLIN) {
    uint64_t ignored = 0;
    (void)!read(wake, &ignored, sizeof ignored);
  }
  const unsigned now = nbd_aio_get_direction(handle);
  if (polled[0].revents & (POLLIN | POLLHUP | POLLERR) && now & LIBNBD_AIO_DIRECTION_READ) {
    nbd_aio_notify_read(handle);
  } else if (polled[0].revents & (POLLOUT | POLLERR) && now & LIBNBD_AIO_DIRECTION_WRITE) {
    nbd_aio_notify_write(handle);
  }
  return true;
}

}  // namespace

void NbdDisk::Closer::operator()(nbd_handle* handle) const {
  nbd_close(handle);
}

Result<std::unique_ptr<NbdDisk>> NbdDisk::create(NbdOptions options, const std::string& where) {
  std::unique_ptr<NbdDisk> disk(new NbdDisk(std::move(options), where));
  disk->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!disk->wake_) return fail(ErrorCode::internal, where, "an eventfd can't be made");
  auto handle = disk->connect();
  if (!handle) return std::unexpected(std::move(handle.error()));
  disk->handle_ = *std::move(handle);
  if (Result<> fit = disk->examine(); !fit) return std::unexpected(std::move(fit.error()));
  if (disk->options_.connected) disk->options_.connected();
  return disk;
}

NbdDisk::~NbdDisk() {
  if (handle_) nbd_shutdown(handle_.get(), 0);
}

void NbdDisk::wake() {
  const uint64_t one = 1;
  if (wake_) (void)!::write(wake_.get(), &one, sizeof one);
}

void NbdDisk::abandon() {
  {
    const std::lock_guard lock(mutex_);
    if (!abandoned_) abandoned_ = Clock::now() + kTimeToEnd;
  }
  wake();
}

bool NbdDisk::is_abandoned() {
  const std::lock_guard lock(mutex_);
  return abandoned_.has_value();
}

bool NbdDisk::has_ended(const Request& request) {
  const std::lock_guard lock(mutex_);
  return request.result.has_value();
}

Clock::time_point NbdDisk::last_moment() {
  const std::lock_guard lock(mutex_);
  return abandoned_.value_or(Clock::time_point::max());
}

Result<NbdDisk::Handle> NbdDisk::connect() {
  Handle handle(nbd_create());
  const auto refuse = [&](std::string why) {
    return fail(ErrorCode::network_error, where_, fmt::format("can't connect to {}: {}", options_.url, why));
  };
  if (!handle) return refuse(nbd_get_error());
  // A URL may name files of the host only where it has to (sockets, certificates).
  nbd_set_uri_allow_local_file(handle.get(), true);
  const auto deadline = Clock::now() + options_.timeout;
  if (nbd_aio_connect_uri(handle.get(), options_.url.c_str()) < 0) return refuse(nbd_get_error());
  while (nbd_aio_is_connecting(handle.get()) > 0) {
    if (!advance(handle.get(), wake_.get(), deadline)) return refuse("no answer in time");
    if (is_abandoned()) return refuse("the machine ends");
  }
  if (nbd_aio_is_ready(handle.get()) <= 0) {
    const char* why = nbd_get_error();
    return refuse(why ? why : "the server closed the connection");
  }
  return handle;
}

Result<> NbdDisk::examine() {
  const int64_t size = nbd_get_size(handle_.get());
  if (size <= 0 || size % 512) {
    return fail(ErrorCode::invalid_disk_image, where_,
                fmt::format("{} has {} bytes, no multiple of 512", options_.url, size));
  }
  const int64_t block = nbd_get_block_size(handle_.get(), LIBNBD_SIZE_MINIMUM);
  if (block > 512) {
    return fail(ErrorCode::not_supported, where_,
                fmt::format("{} is read and written in blocks of {} bytes", options_.url, block),
                "blocks of 512 bytes are needed: let the server take any, e.g. with nbdkit's "
                "--filter=blocksize");
  }
  size_ = static_cast<uint64_t>(size);
  is_read_only_ = options_.forced_read_only || nbd_is_read_only(handle_.get()) > 0;
  can_flush_ = nbd_can_flush(handle_.get()) > 0;
  can_trim_ = nbd_can_trim(handle_.get()) > 0;
  can_zero_ = nbd_can_zero(handle_.get()) > 0;
  // A server that can't flush has on its medium what it answers.
  has_cache_ = can_flush_ && !is_read_only_ && options_.synchronization != DiskImageSynchronizationMode::none;
  return {};
}

IoResult NbdDisk::perform(Request& request) {
  std::unique_lock lock(mutex_);
  if (is_dead_) return std::unexpected(EIO);
  waiting_.push_back(&request);
  if (has_driver_) wake();
  while (!request.result) {
    if (has_driver_) {
      changed_.wait(lock);
      continue;
    }
    has_driver_ = true;
    lock.unlock();
    drive(request);
    lock.lock();
    has_driver_ = false;
    changed_.notify_all();  // Another one goes on.
  }
  if (*request.result != 0) return std::unexpected(*request.result);
  return {};
}

void NbdDisk::drive(const Request& mine) {
  do serve(mine);
  while (!has_ended(mine) && reconnect());
}

// By way of memory that the guest does not change, and that is in one piece.
IoResult NbdDisk::transfer(Kind kind, uint64_t offset, std::span<const iovec> buffers) {
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    const uint64_t size = std::min(left, kMostData);
    Request request{.kind = kind, .offset = offset, .size = size, .data = std::vector<std::byte>(size)};
    if (kind == Kind::write) cursor.copy_to(request.data.data(), size);
    IoResult done = perform(request);
    if (done && kind == Kind::write) done = make_room();
    if (!done) return done;
    if (kind == Kind::read) cursor.copy_from(request.data.data(), size);
    offset += size;
    left -= size;
  }
  return {};
}

IoResult NbdDisk::read(uint64_t offset, std::span<const iovec> buffers) {
  return transfer(Kind::read, offset, buffers);
}

IoResult NbdDisk::write(uint64_t offset, std::span<const iovec> buffers) {
  return transfer(Kind::write, offset, buffers);
}

IoResult NbdDisk::flush() {
  if (!has_cache_) return {};
  return flushes_.share([this] {
    Request request{.kind = Kind::flush};
    return perform(request);
  });
}

// Whoever finds too much flushes, and others that do wait: so it does not become much more.
IoResult NbdDisk::make_room() {
  if (unflushed_bytes_ <= options_.most_unflushed) return {};
  return flushes_.take([this]() -> IoResult {
    if (unflushed_bytes_ <= options_.most_unflushed) return {};
    Request request{.kind = Kind::flush};
    return perform(request);
  });
}

uint64_t NbdDisk::Request::load() const {
  return sizeof *this + (data.empty() ? size / kRangePerByte : data.size());
}

IoResult NbdDisk::perform_in_pieces(Kind kind, uint64_t offset, uint64_t size, bool may_unmap) {
  while (size > 0) {
    Request request{
        .kind = kind, .offset = offset, .size = std::min(size, kMostRange), .may_unmap = may_unmap};
    IoResult done = perform(request);
    if (done) done = make_room();
    if (!done) return done;
    offset += request.size;
    size -= request.size;
  }
  return {};
}

IoResult NbdDisk::discard(uint64_t offset, uint64_t size) {
  return can_trim_ ? perform_in_pieces(Kind::discard, offset, size, true) : IoResult();
}

IoResult NbdDisk::write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) {
  if (can_zero_) return perform_in_pieces(Kind::write_zeroes, offset, size, may_unmap);
  std::vector<std::byte> zeroes(std::min<uint64_t>(size, 1 << 20));
  while (size > 0) {
    const iovec piece{zeroes.data(), std::min<uint64_t>(size, zeroes.size())};
    if (IoResult done = write(offset, {&piece, 1}); !done) return done;
    offset += piece.iov_len;
    size -= piece.iov_len;
  }
  return {};
}

void NbdDisk::finish(Request& request, int error) {
  const std::lock_guard lock(mutex_);
  request.result = error;
  changed_.notify_all();
}

// Within libnbd's work. A connection that ends answers all its requests, with errors.
void NbdDisk::answered(Request& request, int error) {
  std::erase(under_way_, &request);
  if (request.is_repetition) {
    if (error == 0) {
      ++repeated_;
      return;
    }
    // On this connection: on another one all that was written on this would have to be again.
    if (is_final(error) || ++request.failures >= options_.most_failures) has_failed_ = true;
    failed_repetitions_.push_back(&request);
    return;
  }
  if (error == 0) keep(request);
  if (error == 0 || (request.kind != Kind::flush && is_final(error))) return finish(request, error);
  ++request.failures;
  has_failed_ = true;
  const std::lock_guard lock(mutex_);
  waiting_.push_front(&request);
}

void NbdDisk::keep(Request& request) {
  if (request.kind == Kind::flush) return forget(request.covered);
  if (request.kind == Kind::read || !has_cache_) return;
  unflushed_.push_back({.kind = request.kind,
                        .offset = request.offset,
                        .size = request.size,
                        .data = std::move(request.data),
                        .may_unmap = request.may_unmap,
                        .is_repetition = true});
  unflushed_bytes_ += unflushed_.back().load();
}

void NbdDisk::forget(uint64_t covered) {
  for (; forgotten_ < covered; ++forgotten_) {
    unflushed_bytes_ -= unflushed_.front().load();
    unflushed_.pop_front();
  }
}

bool NbdDisk::issue(Request& request) {
  const nbd_completion_callback completion{.callback =
                                               [](void* data, int* error) {
                                                 const auto* reply = static_cast<Reply*>(data);
                                                 reply->disk->answered(*reply->request, *error);
                                                 return 1;
                                               },
                                           .user_data = new Reply{this, &request},
                                           .free = [](void* data) { delete static_cast<Reply*>(data); }};
  nbd_handle* handle = handle_.get();
  request.deadline = Clock::now() + options_.timeout;
  request.covered = forgotten_ + unflushed_.size();
  under_way_.push_back(&request);
  int64_t cookie = -1;
  switch (request.kind) {
    case Kind::read:
      cookie = nbd_aio_pread(handle, request.data.data(), request.size, request.offset, completion, 0);
      break;
    case Kind::write:
      cookie = nbd_aio_pwrite(handle, request.data.data(), request.size, request.offset, completion, 0);
      break;
    case Kind::flush:
      cookie = nbd_aio_flush(handle, completion, 0);
      break;
    case Kind::discard:
      cookie = nbd_aio_trim(handle, request.size, request.offset, completion, 0);
      break;
    case Kind::write_zeroes:
      cookie = nbd_aio_zero(handle, request.size, request.offset, completion,
                            request.may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
      break;
  }
  if (cookie >= 0) return true;
  // Not even begun; libnbd has freed the callback without calling it.
  const int error = nbd_get_errno();
  if (std::erase(under_way_, &request) == 0) return true;
  if (request.is_repetition) {
    has_failed_ = true;
    return false;
  }
  if (nbd_aio_is_ready(handle) > 0 || nbd_aio_is_processing(handle) > 0) {
    finish(request, error ? error : EIO);
    return true;
  }
  const std::lock_guard lock(mutex_);
  waiting_.push_front(&request);
  return false;
}

void NbdDisk::issue_waiting() {
  while (true) {
    Request* request = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) return;
      request = waiting_.front();
      waiting_.pop_front();
    }
    if (!issue(*request)) return;
  }
}

bool NbdDisk::is_usable() {
  return handle_ && !has_failed_ && nbd_aio_is_dead(handle_.get()) <= 0 &&
         nbd_aio_is_closed(handle_.get()) <= 0;
}

// Until the connection is of no use any more, or the request has ended.
void NbdDisk::serve(const Request& mine) {
  while (is_usable() && !has_ended(mine)) {
    issue_waiting();
    // It may have ended over that, and nothing wakes who waits for it then.
    if (has_ended(mine) || !is_usable()) return;
    auto deadline = std::min(Clock::now() + milliseconds(3600 * 1000), last_moment());
    for (const Request* request : under_way_) deadline = std::min(deadline, request->deadline);
    if (Clock::now() >= last_moment()) return;
    if (!advance(handle_.get(), wake_.get(), deadline) && !under_way_.empty()) {
      for (Request* request : under_way_) {
        if (request->deadline <= Clock::now()) ++request->failures;
      }
      return;
    }
  }
}

bool NbdDisk::pause(milliseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
    if (is_abandoned()) return false;
    pollfd polled{wake_.get(), POLLIN, 0};
    if (poll(&polled, 1, std::min(milliseconds_until(end), 100)) > 0) {
      uint64_t ignored = 0;
      (void)!::read(wake_.get(), &ignored, sizeof ignored);
    }
  }
  return !is_abandoned();
}

// What was under way waits again. Whether to go on: the server may fail the same request each time.
bool NbdDisk::take_back() {
  handle_.reset();
  bool is_hopeless = false;
  {
    const std::lock_guard lock(mutex_);
    for (Request* request : under_way_) waiting_.push_front(request);
    under_way_.clear();
    is_hopeless = abandoned_ || std::ranges::any_of(waiting_, [&](const Request* request) {
                    return request->failures >= options_.most_failures;
                  });
  }
  if (is_hopeless) {
    give_up({ErrorCode::network_error, where_,
             fmt::format("{} fails the same request again and again", options_.url), ""});
  }
  return !is_hopeless;
}

// In the order in which it was written, where that matters.
bool NbdDisk::repeat_unflushed() {
  for (Request& request : unflushed_) {
    request.failures = 0;
    uint64_t load = request.load();
    for (const Request* other : under_way_) load += other->load();
    const bool must_wait = under_way_.size() >= kMostRepetitions || load > kMostRepeatedData ||
                           !failed_repetitions_.empty() ||
                           std::ranges::any_of(under_way_, [&](const Request* other) {
                             return other->offset < request.offset + request.size &&
                                    request.offset < other->offset + other->size;
                           });
    if (must_wait && !wait_for_repetitions()) return false;
    issue(request);
  }
  return wait_for_repetitions();
}

bool NbdDisk::wait_for_repetitions() {
  while (is_usable() && Clock::now() < last_moment()) {
    for (Request* request : std::exchange(failed_repetitions_, {})) issue(*request);
    if (under_way_.empty() && failed_repetitions_.empty()) return is_usable();
    if (under_way_.empty()) continue;
    auto deadline = last_moment();
    for (const Request* request : under_way_) deadline = std::min(deadline, request->deadline);
    if (!advance(handle_.get(), wake_.get(), deadline)) return false;
  }
  return false;
}

// False: it has given up.
bool NbdDisk::reconnect() {
  if (!take_back()) return false;
  milliseconds time = options_.first_pause;
  Error last;
  size_t furthest = 0;
  // A server whose connections are right, and which fails the same request again, gets time, too.
  unsigned repeated_failures = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const Request* request : waiting_)
      repeated_failures = std::max(repeated_failures, request->failures);
  }
  const auto rest =
      repeated_failures < 2
          ? milliseconds(0)
          : std::min<milliseconds>(options_.first_pause * (1 << std::min(repeated_failures - 2, 10u)),
                                   kLongestPause);
  for (unsigned failures = 0; failures < options_.most_failures; ++failures) {
    const milliseconds wait = failures > 0 ? time : rest;
    if (wait.count() > 0 && !pause(wait)) break;
    if (failures > 0) time = std::min(time * 2, kLongestPause);
    auto handle = connect();
    if (!handle) {
      last = handle.error();
      continue;
    }
    // The disk may not become another one.
    if (nbd_get_size(handle->get()) != static_cast<int64_t>(size_) ||
        (!is_read_only_ && nbd_is_read_only(handle->get()) > 0) ||
        (has_cache_ && nbd_can_flush(handle->get()) <= 0)) {
      give_up({ErrorCode::network_error, where_, fmt::format("{} is another disk now", options_.url), ""});
      return false;
    }
    handle_ = *std::move(handle);
    has_failed_ = false;
    repeated_ = 0;
    if (!repeat_unflushed()) {
      handle_.reset();
      under_way_.clear();
      failed_repetitions_.clear();
      last = {ErrorCode::network_error, where_,
              fmt::format("what was written to {} can't be written there again", options_.url), ""};
      // Whoever gets further each time gets there.
      if (repeated_ > furthest) {
        furthest = repeated_;
        failures = 0;
        time = options_.first_pause;
      }
      continue;
    }
    if (options_.connected) options_.connected();
    return true;
  }
  give_up(last);
  return false;
}

void NbdDisk::give_up(const Error& error) {
  std::deque<Request*> waiting;
  bool is_expected = false;
  {
    const std::lock_guard lock(mutex_);
    is_dead_ = true;
    waiting.swap(waiting_);
    is_expected = abandoned_.has_value();
  }
  forget(forgotten_ + unflushed_.size());
  if (options_.failed && !is_expected) options_.failed(error);
  for (Request* request : waiting) finish(*request, EIO);
}

}  // namespace alcove::storage
