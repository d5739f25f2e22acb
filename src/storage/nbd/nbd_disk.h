// A disk that a server of the Network Block Device protocol has. When the connection fails, or a request
// takes too long, it is made anew and the requests under way are made again: whoever made them only waits.
// Whether a server that was away still has what it had answered and not flushed can't be known. So that is
// kept here, up to a bound at which it is flushed, and written again before anything else.
// There is no thread for this: of those that wait for their requests one drives the connection for all, and
// when it is done another one does.
#pragma once

#include <alcove/error.h>
#include <alcove/storage.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "storage/flush_turns.h"
#include "support/unique_fd.h"

struct nbd_handle;

namespace alcove::storage {

struct NbdOptions {
  std::string url;
  std::chrono::milliseconds timeout{15000};  // For connecting, and for each request.
  bool forced_read_only = false;
  DiskImageSynchronizationMode synchronization = DiskImageSynchronizationMode::full;
  // Connections that fail one after another, or tries of one request, before the disk gives up.
  unsigned most_failures = 10;
  std::chrono::milliseconds first_pause{100};  // Between these; doubled each time, to 10 seconds at most.
  // Bytes written (a range without data counts as a few); then the disk flushes by itself.
  uint64_t most_unflushed = 64 << 20;
  // Called by create() or by whoever makes a request: once for each connection, and when it gives up.
  std::function<void()> connected = {};
  std::function<void(const Error&)> failed = {};
};

class NbdDisk final : public Disk {
 public:
  // Connects.
  static Result<std::unique_ptr<NbdDisk>> create(NbdOptions options, const std::string& where);
  ~NbdDisk() override;

  uint64_t size() const override { return size_; }
  bool is_read_only() const override { return is_read_only_; }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult flush() override;
  IoResult discard(uint64_t offset, uint64_t size) override;
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override;
  // The connection is not made anew any more, and what it has not answered soon fails.
  void abandon() override;

 private:
  enum class Kind { read, write, flush, discard, write_zeroes };
  struct Request {
    Kind kind;
    uint64_t offset = 0;
    uint64_t size = 0;
    std::vector<std::byte> data = {};  // Of reads and writes.
    bool may_unmap = false;
    uint64_t load() const;  // What it is to keep or to make, in bytes of data.
    // The driver's.
    bool is_repetition = false;  // Of what was answered once.
    uint64_t covered = 0;        // By a flush: how many had been answered before it was begun.
    unsigned failures = 0;
    std::chrono::steady_clock::time_point deadline{};
    // Guarded by mutex_.
    std::optional<int> result;  // 0, or an errno value.
  };
  struct Reply {
    NbdDisk* disk;
    Request* request;
  };
  struct Closer {
    void operator()(nbd_handle* handle) const;
  };
  using Handle = std::unique_ptr<nbd_handle, Closer>;

  NbdDisk(NbdOptions options, std::string where) : options_(std::move(options)), where_(std::move(where)) {}
  Result<Handle> connect();
  Result<> examine();
  IoResult perform(Request& request);
  IoResult perform_in_pieces(Kind kind, uint64_t offset, uint64_t size, bool may_unmap);
  IoResult transfer(Kind kind, uint64_t offset, std::span<const iovec> buffers);
  IoResult make_room();

  // Until this request has ended. By the driver, as all that follows.
  void drive(const Request& mine);
  void issue_waiting();
  bool issue(Request& request);
  void answered(Request& request, int error);
  void keep(Request& request);
  void forget(uint64_t covered);
  bool repeat_unflushed();
  bool wait_for_repetitions();
  bool is_usable();
  void serve(const Request& mine);
  bool take_back();
  bool reconnect();
  void give_up(const Error& error);
  void finish(Request& request, int error);
  bool pause(std::chrono::milliseconds time);
  bool has_ended(const Request& request);
  bool is_abandoned();
  std::chrono::steady_clock::time_point last_moment();
  void wake();

  const NbdOptions options_;
  const std::string where_;
  uint64_t size_ = 0;
  bool is_read_only_ = false;
  bool has_cache_ = false;  // What is answered need not be on the server's medium.
  std::atomic<bool> can_flush_ = false, can_trim_ = false, can_zero_ = false;

  UniqueFd wake_;  // The driver looks at what follows.

  // The driver's.
  Handle handle_;
  std::list<Request*> under_way_;
  bool has_failed_ = false;  // The server answered so that the connection is to be made anew.
  // What changed the disk since the last flush, in the order of the answers.
  std::deque<Request> unflushed_;
  uint64_t forgotten_ = 0;  // How many were before these.
  size_t repeated_ = 0;     // On this connection.
  std::vector<Request*> failed_repetitions_;

  std::atomic<uint64_t> unflushed_bytes_ = 0;
  FlushTurns flushes_;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  bool has_driver_ = false;
  std::deque<Request*> waiting_;
  bool is_dead_ = false;
  std::optional<std::chrono::steady_clock::time_point> abandoned_;  // When all has to be over.
};

}  // namespace alcove::storage
