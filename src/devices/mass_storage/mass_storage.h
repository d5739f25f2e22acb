// A USB mass storage device: a disk or an optical disc, behind bulk-only transport and, if the guest's driver
// chooses so, USB Attached SCSI.
#pragma once

#include <memory>

#include "devices/mass_storage/attached_scsi.h"
#include "devices/mass_storage/bulk_only.h"
#include "devices/mass_storage/options.h"
#include "devices/mass_storage/unit.h"
#include "usb/function_device.h"

namespace alcove::devices::mass_storage {

// The disk's calls are made on a thread of the device's own; all else in the controller's turn. Shared: it
// may be pulled out while its disk flushes.
class MassStorage final : public usb::FunctionDevice, public std::enable_shared_from_this<MassStorage> {
 public:
  MassStorage(std::unique_ptr<storage::Disk> disk, const MassStorageOptions& options,
              exec::Executor& executor);

  void reset() override;
  void submit(usb::Transfer& transfer) override;
  bool cancel(usb::Transfer& transfer) override;
  // As of Unit. Any thread.
  void change_medium(std::unique_ptr<storage::Disk> disk, std::move_only_function<void()> done) {
    unit_.change_medium(std::move(disk), std::move(done));
  }
  void pause() override { unit_.pause(); }
  void resume() override;

 private:
  std::optional<Bytes> interface_request(const spec::usb::SetupPacket& setup,
                                         std::span<const std::byte> data) override;
  void configured() override { restart(); }
  void halt_cleared(uint8_t endpoint) override;
  void restart();

  exec::Executor& executor_;
  BulkOnly bulk_only_;
  AttachedScsi attached_scsi_;
  Unit unit_;  // Last: its thread ends before the transports, which go on with what it did.
};

}  // namespace alcove::devices::mass_storage
