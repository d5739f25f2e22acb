// A submission queue for NVM commands with its thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "devices/nvme/identity.h"
#include "devices/nvme/queues.h"
#include "exec/event_loop.h"
#include "storage/disk.h"
#include "support/unique_fd.h"

namespace alcove::devices::nvme {

// What all queues of a controller work with.
struct Shared {
  memory::GuestMemory& memory;
  storage::Disk& disk;
  Statistics statistics = {};
  std::atomic<bool> write_cache = true;
  // Tells the driver that there are completions; and the controller that a driver wrote nonsense into a
  // doorbell. Any thread.
  std::function<void(CompletionQueue&)> signal;
  std::function<void(const CompletionQueue&)> forget;  // It is about to end.
  std::function<void()> doorbell_was_wrong;
};

// Members but wake() are for one thread at a time.
class IoQueue {
 public:
  IoQueue(Shared& shared, Ring ring, uint16_t id, std::shared_ptr<CompletionQueue> completions);
  // No command is in flight when it returns.
  ~IoQueue();

  void wake();  // Any thread.
  // When pause() returns, no command is in flight and none is taken until resume(). It begins paused.
  void pause();
  void resume();

  Doorbell& doorbell() { return submissions_.doorbell(); }
  uint32_t size() const { return submissions_.size(); }
  CompletionQueue& completions() { return *completions_; }

 private:
  void run();

  Shared& shared_;
  SubmissionQueue submissions_;  // Its thread's, but for the doorbell.
  const std::shared_ptr<CompletionQueue> completions_;
  const UniqueFd doorbell_event_;
  std::atomic<bool> interrupted_ = false;
  exec::LoopThread thread_;  // Last: it ends before what it uses.
};

}  // namespace alcove::devices::nvme
