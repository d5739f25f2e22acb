#include "virtio/queue_worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace alcove::virtio {

void QueueWorker::attach(std::unique_ptr<Queue> queue, int doorbell, Interrupts& interrupts, Serve serve) {
  auto served = std::make_unique<Served>(std::move(queue), doorbell, &interrupts, std::move(serve));
  loop().call([&] {
    watch(*served);
    served_.push_back(std::move(served));
  });
  // A driver may have made buffers available before DRIVER_OK and notified nobody.
  eventfd_write(doorbell, 1);
}

// A batch may be many slow requests; whoever waits, waits only for the one under way.
void QueueWorker::interrupt(exec::Task task) {
  interrupted_ = true;
  loop().call(std::move(task));
  interrupted_ = false;
}

void QueueWorker::detach() {
  interrupt([this] {
    for (const auto& served : served_) loop().unwatch(served->doorbell);
    served_.clear();
  });
}

void QueueWorker::pause() {
  interrupt([this] {
    for (const auto& served : served_) loop().unwatch(served->doorbell);
  });
}

void QueueWorker::resume() {
  loop().call([this] {
    for (const auto& served : served_) {
      watch(*served);
      eventfd_write(served->doorbell, 1);
    }
  });
}

void QueueWorker::watch(Served& served) {
  loop().watch(served.doorbell, EPOLLIN, [this, &served](uint32_t) { run(served); });
}

// Serves at most a ring, so that a driver that never ceases cannot keep the thread from its other work.
// Returns whether the ring is empty.
bool QueueWorker::serve_batch(Served& served) {
  for (unsigned i = 0; i < served.queue->size() && !interrupted_; ++i) {
    auto chain = served.queue->pop();
    if (chain && !*chain) return true;
    if (!chain || !served.serve(*served.queue, std::move(**chain))) {
      served.broken = true;
      served.interrupts->needs_reset();
      return false;
    }
  }
  return false;
}

void QueueWorker::run(Served& served) {
  eventfd_t ignored;
  eventfd_read(served.doorbell, &ignored);
  if (served.broken) return;
  Queue& queue = *served.queue;
  queue.set_wants_notifications(false);
  const bool emptied = serve_batch(served);
  queue.notify();
  if (served.broken) return;
  if (emptied) {
    queue.set_wants_notifications(true);
    if (queue.is_empty()) return;
  }
  eventfd_write(served.doorbell, 1);  // Come back, after the loop's other work.
}

}  // namespace alcove::virtio
