// Serves queues on one thread: what is quick at once, what is not on helpers, what waits for a lock when it
// is free.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/fs/helpers.h"
#include "devices/fs/session.h"
#include "virtio/queue_worker.h"

namespace alcove::devices::fs {

// Members but the last two are for the thread that calls Device, one call at a time.
class Lane {
 public:
  // What concerns all lanes of a device. Called on the lane's thread.
  struct Events {
    std::function<void()> unlocked;                    // A lock may be free now.
    std::function<void(uint64_t unique)> interrupted;  // That request is to be given up.
  };
  Lane(std::string name, Session& session, Helpers& helpers, Events events);

  void attach(std::unique_ptr<virtio::Queue> queue, int doorbell, virtio::Interrupts& interrupts);
  // In this order, for all lanes before the next, with the helpers drained before settle(): nothing more is
  // taken; what was done is answered; all is forgotten.
  void hold();
  void settle();
  void detach();
  // After settle().
  void resume();

  void retry_locks();
  void give_up(uint64_t unique);
  // Requests taken.
  uint64_t request_count() const { return request_count_; }

 private:
  struct Waiting {
    virtio::Queue* queue;
    Request request;
  };
  bool serve(virtio::Queue& queue, virtio::Chain chain);
  void process_slowly(virtio::Queue& queue, Request request);
  void wait_for_lock(virtio::Queue& queue, Request request);
  void try_locks();
  void set_timer();

  Session& session_;
  Helpers& helpers_;
  const Events events_;
  std::atomic<uint64_t> request_count_ = 0;
  std::atomic<bool> has_waiting_ = false;
  // The lane's thread.
  bool is_paused_ = false;
  bool has_timer_ = false;
  std::vector<Waiting> waiting_;
  virtio::QueueWorker worker_;  // Last: its thread ends before what it uses.
};

}  // namespace alcove::devices::fs
