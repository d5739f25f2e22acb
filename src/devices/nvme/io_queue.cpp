#include "devices/nvme/io_queue.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <chrono>

#include "devices/nvme/io_command.h"

namespace alcove::devices::nvme {

namespace {

// An interrupt may wait for so many further completions, and so long.
constexpr unsigned kMostUnsignalled = 8;
constexpr std::chrono::microseconds kLongestUnsignalled{50};

}  // namespace

IoQueue::IoQueue(Shared& shared, Ring ring, uint16_t id, std::shared_ptr<CompletionQueue> completions)
    : shared_(shared),
      submissions_(shared.memory, ring, id),
      completions_(std::move(completions)),
      doorbell_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_(fmt::format("nvme {}", id)) {
  ++completions_->users;
}

IoQueue::~IoQueue() {
  pause();
  --completions_->users;
}

void IoQueue::wake() {
  eventfd_write(doorbell_event_.get(), 1);
}

void IoQueue::pause() {
  interrupted_ = true;
  thread_.loop().call([this] { thread_.loop().unwatch(doorbell_event_.get()); });
  interrupted_ = false;
}

void IoQueue::resume() {
  thread_.loop().call(
      [this] { thread_.loop().watch(doorbell_event_.get(), EPOLLIN, [this](uint32_t) { run(); }); });
  wake();
}

void IoQueue::run() {
  eventfd_t ignored;
  eventfd_read(doorbell_event_.get(), &ignored);
  const Limits limits{.blocks = shared_.disk.size() / kBlockSize,
                      .read_only = shared_.disk.is_read_only(),
                      .write_cache = shared_.write_cache};
  unsigned unsignalled = 0;
  exec::Clock::time_point first;
  const auto signal = [&] {
    if (unsignalled > 0) shared_.signal(*completions_);
    unsignalled = 0;
  };
  // At most a ring, so that a driver that never ceases cannot keep the thread from its other work.
  for (uint32_t count = 0; count < submissions_.size() && !interrupted_; ++count) {
    if (!completions_->reserve()) return signal();
    const auto command = submissions_.pop();
    if (!command) {
      completions_->cancel();
      signal();
      if (submissions_.is_broken()) {
        thread_.loop().unwatch(doorbell_event_.get());
        return shared_.doorbell_was_wrong();
      }
      if (submissions_.prepare_to_sleep()) return;
      continue;
    }
    IoCommand parsed = parse(*command, shared_.memory, limits);
    if (may_take_long(parsed)) signal();
    const uint16_t status = process(std::move(parsed), shared_.disk, shared_.memory, shared_.statistics);
    completions_->post({.submission_head = static_cast<uint16_t>(submissions_.head()),
                        .submission_queue = submissions_.id(),
                        .id = command->id,
                        .status = status});
    if (unsignalled++ == 0) first = exec::Clock::now();
    const bool is_due = !submissions_.has_more() || unsignalled == kMostUnsignalled ||
                        (unsignalled > 1 && exec::Clock::now() - first > kLongestUnsignalled);
    if (is_due) signal();
  }
  signal();
  wake();  // Come back, after the loop's other work.
}

}  // namespace alcove::devices::nvme
