// What both transports work with: the disk, what its commands mean, and the thread that reads and writes it.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "devices/mass_storage/options.h"
#include "devices/mass_storage/target.h"
#include "exec/event_loop.h"
#include "storage/disk.h"

namespace alcove::devices::mass_storage {

class Unit {
 public:
  using Next = std::move_only_function<void(storage::IoResult)>;

  // `owner` is the device: when it is gone, nobody is told what the disk did.
  Unit(std::unique_ptr<storage::Disk> disk, const MassStorageOptions& options, exec::Executor& executor,
       std::function<std::weak_ptr<const void>()> owner);

  Target& target() { return target_; }

  // In the controller's turn. The disk's thread does these in order, but for small reads that the host need
  // not wait for, which are done at once; `next` follows in the controller's turn again, or in the call.
  // Buffers stay until then.
  void read(uint64_t offset, std::vector<iovec> buffers, Next next);
  void write(uint64_t offset, std::vector<iovec> buffers, bool to_medium, Next next);
  void flush(Next next);
  void discard(std::vector<Range> ranges, Next next);

  // Puts another disc into the drive, or takes it out. The one before is closed when `done` is called, once,
  // in the controller's turn; not at all if the device is gone before. Any thread.
  void change_medium(std::unique_ptr<storage::Disk> disk, std::move_only_function<void()> done);

  // When pause() returns, the disk's thread does nothing, and nothing is to be given to it until resume().
  void pause();
  void resume() { paused_ = false; }
  bool is_paused() const { return paused_; }

 private:
  using Work = std::move_only_function<storage::IoResult()>;
  void let_work(Work work, Next next);
  // A command may have begun on the disc before.
  bool is_there(uint64_t offset, uint64_t size) const;

  std::unique_ptr<storage::Disk> disk_;  // Null without a medium.
  bool changing_ = false;                // The medium, in the controller's turn.
  exec::Executor& executor_;
  const std::function<std::weak_ptr<const void>()> owner_;
  Target target_;
  std::atomic<bool> paused_ = false;
  exec::LoopThread thread_;  // Last: it ends before what it uses.
};

}  // namespace alcove::devices::mass_storage
