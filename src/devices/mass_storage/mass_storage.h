// A USB mass storage device: a disk or an optical disc behind bulk-only transport.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "devices/mass_storage/target.h"
#include "exec/event_loop.h"
#include "spec/usb_storage.h"
#include "storage/disk.h"
#include "usb/function_device.h"

namespace alcove::devices::mass_storage {

struct MassStorageOptions {
  bool is_optical = false;
  std::string serial;  // Hexadecimal digits, 12 at least (Bulk-Only Transport, section 4.1.1).
};

// The disk's calls are made on a thread of the device's own; all else on the controller's loop. Shared: it
// may be pulled out while its disk flushes.
class MassStorage final : public usb::FunctionDevice, public std::enable_shared_from_this<MassStorage> {
 public:
  MassStorage(std::unique_ptr<storage::Disk> disk, const MassStorageOptions& options, exec::EventLoop& loop);
  ~MassStorage() override;

  void reset() override;
  void submit(usb::Transfer& transfer) override;
  bool cancel(usb::Transfer& transfer) override;
  void pause() override;
  void resume() override;

 private:
  // Bulk-Only Transport, section 5: one command at a time, each in up to three phases.
  enum class Phase { command, data_in, data_out, status };

  std::optional<Bytes> interface_request(const spec::usb::SetupPacket& setup,
                                         std::span<const std::byte> data) override;
  void configured() override { restart(); }
  void halt_cleared(uint8_t endpoint) override;

  void restart();
  void advance();
  bool take_command();
  bool move_data_in();
  bool move_data_out();
  bool send_status();
  void execute(Command command);
  void after_data(uint64_t moved, usb::Transfer& transfer);
  void end_data();
  void fail(const Sense& sense);
  void phase_error();
  // Lets the disk's thread do something, and goes on with `next` on the loop.
  using Work = std::move_only_function<storage::IoResult()>;
  void let_work(Work work, std::move_only_function<void(storage::IoResult)> next);
  bool move(usb::Transfer& transfer, uint64_t size);

  const std::shared_ptr<storage::Disk> disk_;
  exec::EventLoop& loop_;
  Target target_;
  usb::Transfer* in_ = nullptr;  // What the host gave us and we have not begun.
  usb::Transfer* out_ = nullptr;
  usb::Transfer* busy_ = nullptr;  // With the disk's thread.
  bool working_ = false;           // The disk's thread has something to do.
  bool broken_ = false;            // Until the host resets us (section 5.3.1).
  bool advancing_ = false;
  unsigned generation_ = 0;  // Of what is under way; a reset begins another.

  Phase phase_ = Phase::command;
  spec::usb_storage::CommandBlock block_;
  spec::usb_storage::CommandStatus status_;
  uint64_t expected_ = 0;  // Bytes of the data phase that the host still has to give transfers for.
  uint64_t left_ = 0;      // Bytes that we still move.
  bool moved_any_ = false;
  Command command_;
  uint64_t done_ = 0;
  Bytes received_;

  std::atomic<bool> paused_ = false;
  std::unique_ptr<exec::LoopThread> thread_;
};

}  // namespace alcove::devices::mass_storage
