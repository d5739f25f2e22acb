// Bulk-Only Transport 1.0: one command at a time, each in up to three phases (section 5).
#pragma once

#include "devices/mass_storage/transport.h"
#include "spec/usb_storage.h"

namespace alcove::devices::mass_storage {

class BulkOnly final : public Transport {
 public:
  static constexpr uint8_t kIn = 0x81, kOut = 0x02;

  using Transport::Transport;

  void submit(usb::Transfer& transfer) override;
  bool cancel(usb::Transfer& transfer) override;
  void restart() override;
  void advance() override;
  void halt_cleared(uint8_t endpoint);

 private:
  enum class Phase { command, data_in, data_out, status };

  bool take_command();
  bool move_data_in();
  bool move_data_out();
  bool send_status();
  void execute(Command command);
  void after_data(uint64_t moved, usb::Transfer& transfer);
  void end_data();
  void fail(const Sense& sense);
  void phase_error();
  bool move(usb::Transfer& transfer, uint64_t size);
  // The disk's thread has something to do; what follows it if that is still wanted then.
  Unit::Next working(Unit::Next next);

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
};

}  // namespace alcove::devices::mass_storage
