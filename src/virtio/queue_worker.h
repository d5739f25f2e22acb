// Serves virtqueues on a thread of its own: what most devices need between activate() and deactivate().
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exec/event_loop.h"
#include "virtio/device.h"
#include "virtio/queue.h"

namespace alcove::virtio {

// Members but loop() are for the thread that calls Device, one call at a time.
class QueueWorker {
 public:
  // Takes one chain; gives it back with Queue::push(), now or later, on this worker's thread. Returns false
  // if the driver broke the protocol, so that the queue is served no more. The worker notifies the guest.
  using Serve = std::function<bool(Queue& queue, Chain chain)>;

  explicit QueueWorker(std::string name) : thread_(std::move(name)) {}

  // Serves `queue` whenever its doorbell rings, until detach(). What was added before is served at once.
  void attach(std::unique_ptr<Queue> queue, int doorbell, Interrupts& interrupts, Serve serve);
  // When it returns, no queue is served nor referenced; the queues are gone.
  void detach();
  // When pause() returns, nothing is under way, and nothing is taken until resume().
  void pause();
  void resume();

  exec::EventLoop& loop() { return thread_.loop(); }

 private:
  struct Served {
    std::unique_ptr<Queue> queue;
    int doorbell;
    Interrupts* interrupts;
    Serve serve;
    bool broken = false;
  };
  void watch(Served& served);
  void run(Served& served);
  bool serve_batch(Served& served);
  void interrupt(exec::Task task);

  std::atomic<bool> interrupted_ = false;        // Somebody waits for the batch's end.
  std::vector<std::unique_ptr<Served>> served_;  // The loop's thread.
  exec::LoopThread thread_;                      // Last: it ends before what it uses.
};

}  // namespace alcove::virtio
