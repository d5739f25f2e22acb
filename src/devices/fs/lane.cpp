#include "devices/fs/lane.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace alcove::devices::fs {

namespace {

using fuse::Opcode;

// More processes than that need not wait.
constexpr size_t kMostWaiting = 1024;
// The host says nothing when one of its own programs gives up a lock.
constexpr std::chrono::milliseconds kRetryTime{20};

bool is_slow(const Request& request) {
  switch (request.opcode) {
    case Opcode::sync:
    case Opcode::sync_directory:
    case Opcode::sync_file_system:
    case Opcode::allocate:
    case Opcode::copy_range:
      return true;
    default:
      return false;
  }
}

}  // namespace

Lane::Lane(std::string name, Session& session, Helpers& helpers, Events events)
    : session_(session), helpers_(helpers), events_(std::move(events)), worker_(std::move(name)) {}

void Lane::attach(std::unique_ptr<virtio::Queue> queue, int doorbell, virtio::Interrupts& interrupts) {
  worker_.attach(std::move(queue), doorbell, interrupts, [this](virtio::Queue& served, virtio::Chain chain) {
    return serve(served, std::move(chain));
  });
}

void Lane::hold() {
  worker_.pause();
}

// Behind what helpers have posted.
void Lane::settle() {
  worker_.loop().call([this] { is_paused_ = true; });
}

void Lane::detach() {
  worker_.loop().call([this] {
    waiting_.clear();
    has_waiting_ = false;
    is_paused_ = false;
  });
  worker_.detach();
}

void Lane::resume() {
  worker_.loop().call([this] {
    is_paused_ = false;
    try_locks();
  });
  worker_.resume();
}

bool Lane::serve(virtio::Queue& queue, virtio::Chain chain) {
  ++request_count_;
  auto parsed = parse(std::move(chain), session_.dialect());
  if (auto* refused = std::get_if<Refused>(&parsed)) {
    finish(refused->unique, {.error = refused->error}, std::move(refused->chain), queue);
    return true;
  }
  auto& request = std::get<Request>(parsed);
  if (is_slow(request)) {
    process_slowly(queue, std::move(request));
    return true;
  }
  const Reply reply = session_.process(request, false);
  if (reply.error == EAGAIN && request.opcode == Opcode::read) {
    process_slowly(queue, std::move(request));
    return true;
  }
  if (reply.error == EAGAIN && request.opcode == Opcode::set_lock_wait) {
    wait_for_lock(queue, std::move(request));
    return true;
  }
  if (request.opcode == Opcode::interrupt) events_.interrupted(request.as<fuse::InterruptIn>().unique);
  const bool may_unlock = request.opcode == Opcode::set_lock || request.opcode == Opcode::flush ||
                          request.opcode == Opcode::release;
  finish(request.header.unique, reply, std::move(request.chain), queue);
  queue.notify();
  if (may_unlock) events_.unlocked();
  return true;
}

void Lane::process_slowly(virtio::Queue& queue, Request request) {
  helpers_.run([this, &queue, request = std::move(request)]() mutable {
    Reply reply = session_.process(request, true);
    worker_.loop().post([&queue, reply = std::move(reply), request = std::move(request)]() mutable {
      finish(request.header.unique, reply, std::move(request.chain), queue);
      queue.notify();
    });
  });
}

void Lane::wait_for_lock(virtio::Queue& queue, Request request) {
  if (waiting_.size() == kMostWaiting) {
    finish(request.header.unique, {.error = ENOLCK}, std::move(request.chain), queue);
    return queue.notify();
  }
  waiting_.push_back({&queue, std::move(request)});
  has_waiting_ = true;
  set_timer();
}

void Lane::set_timer() {
  if (has_timer_) return;
  has_timer_ = true;
  worker_.loop().call_at(exec::Clock::now() + kRetryTime, [this] {
    has_timer_ = false;
    try_locks();
    if (!waiting_.empty()) set_timer();
  });
}

void Lane::try_locks() {
  if (is_paused_) return;
  std::erase_if(waiting_, [this](Waiting& waiting) {
    const Reply reply = session_.process(waiting.request, false);
    if (reply.error == EAGAIN) return false;
    finish(waiting.request.header.unique, reply, std::move(waiting.request.chain), *waiting.queue);
    waiting.queue->notify();
    return true;
  });
  has_waiting_ = !waiting_.empty();
}

void Lane::retry_locks() {
  if (has_waiting_) worker_.loop().post([this] { try_locks(); });
}

void Lane::give_up(uint64_t unique) {
  if (!has_waiting_) return;
  worker_.loop().post([this, unique] {
    const auto found = std::ranges::find_if(
        waiting_, [&](const Waiting& waiting) { return waiting.request.header.unique == unique; });
    if (found == waiting_.end() || is_paused_) return;
    finish(unique, {.error = EINTR}, std::move(found->request.chain), *found->queue);
    found->queue->notify();
    waiting_.erase(found);
    has_waiting_ = !waiting_.empty();
  });
}

}  // namespace alcove::devices::fs
