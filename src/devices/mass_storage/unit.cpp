#include "devices/mass_storage/unit.h"

#include <cerrno>
#include <utility>

#include "storage/transfer.h"

namespace alcove::devices::mass_storage {

namespace {

constexpr uint64_t kMostAtOnce = 256 << 10;

}  // namespace

Unit::Unit(std::unique_ptr<storage::Disk> disk, const MassStorageOptions& options, exec::Executor& executor,
           std::function<std::weak_ptr<const void>()> owner)
    : disk_(std::move(disk)),
      executor_(executor),
      owner_(std::move(owner)),
      target_({.size = disk_->size(),
               .read_only = disk_->is_read_only(),
               .is_optical = options.is_optical,
               .serial = options.serial}),
      thread_("usb disk") {}

void Unit::let_work(Work work, Next next) {
  thread_.loop().post([this, owner = owner_(), work = std::move(work), next = std::move(next)]() mutable {
    executor_.post([owner = std::move(owner), done = work(), next = std::move(next)]() mutable {
      if (const auto alive = owner.lock()) next(std::move(done));
    });
  });
}

bool Unit::is_there(uint64_t offset, uint64_t size) const {
  return disk_ && !changing_ && offset <= disk_->size() && size <= disk_->size() - offset;
}

void Unit::read(uint64_t offset, std::vector<iovec> buffers, Next next) {
  const uint64_t size = storage::total_size(buffers);
  if (!is_there(offset, size)) return next(std::unexpected(EIO));
  // To hand it over would take longer than the copy.
  if (size <= kMostAtOnce && disk_->try_read(offset, buffers)) return next({});
  let_work([this, offset, buffers = std::move(buffers)] { return disk_->read(offset, buffers); },
           std::move(next));
}

void Unit::write(uint64_t offset, std::vector<iovec> buffers, bool to_medium, Next next) {
  if (!is_there(offset, storage::total_size(buffers))) return next(std::unexpected(EIO));
  let_work(
      [this, offset, buffers = std::move(buffers), to_medium] {
        auto done = disk_->write(offset, buffers);
        if (done && to_medium) done = disk_->flush();
        return done;
      },
      std::move(next));
}

void Unit::flush(Next next) {
  if (!is_there(0, 0)) return next(std::unexpected(EIO));
  let_work([this] { return disk_->flush(); }, std::move(next));
}

void Unit::discard(std::vector<Range> ranges, Next next) {
  if (!is_there(0, 0)) return next(std::unexpected(EIO));
  let_work(
      [this, ranges = std::move(ranges)] {
        storage::IoResult done;
        for (const Range& range : ranges) {
          if (done) done = disk_->discard(range.offset, range.size);
        }
        return done;
      },
      std::move(next));
}

void Unit::change_medium(std::unique_ptr<storage::Disk> disk, std::move_only_function<void()> done) {
  executor_.post([this, owner = owner_(), disk = std::move(disk), done = std::move(done)]() mutable {
    const auto alive = owner.lock();
    if (!alive) return done();
    // Nothing begins any more; what is with the thread ends first.
    changing_ = true;
    target_.change_medium(std::nullopt);
    let_work([] { return storage::IoResult(); },
             [this, disk = std::move(disk), done = std::move(done)](const storage::IoResult&) mutable {
               changing_ = false;
               disk_ = std::move(disk);
               if (disk_) target_.change_medium(disk_->size());
               done();
             });
  });
}

void Unit::pause() {
  paused_ = true;
  executor_.call([] {});       // Whatever work was given out is with the thread now,
  thread_.loop().call([] {});  // and done now.
}

}  // namespace alcove::devices::mass_storage
