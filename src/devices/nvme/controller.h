// An NVM Express controller as a PCI function (NVM Express 1.4, sections 2 and 3): registers, doorbells,
// interrupts, and the admin queue on a thread of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

#include "devices/nvme/admin.h"
#include "pci/function.h"
#include "pci/msix.h"

namespace alcove::devices::nvme {

// Locks, outermost first: the function's configuration, mutex_ (registers), interrupt_mutex_, the queues'
// own. The controller's thread never takes mutex_, so that whoever holds it may wait for that thread.
class Controller final : public pci::Function {
 public:
  // `memory` and `messages` outlive it.
  Controller(std::unique_ptr<storage::Disk> disk, const Options& options, memory::GuestMemory& memory,
             bus::MessageSink& messages);
  ~Controller() override;

  // Power-on state. No processor runs.
  void reset() override;
  // The machine pauses: when pause() returns, no command is in flight and none is taken until resume() or
  // reset().
  void pause();
  void resume();

  bus::Access read_bar(unsigned bar, uint64_t offset, std::span<std::byte> data) override;
  bus::Access write_bar(unsigned bar, uint64_t offset, std::span<const std::byte> data) override;

  // The disk has another size from now on: the guest is told. Any thread.
  void size_changed();

  const Statistics& statistics() const { return shared_.statistics; }

  // Where things lie in BAR 0.
  static constexpr uint64_t kTableOffset = 0x2000, kPendingOffset = 0x3000, kBarSize = 0x4000;

 private:
  struct Registers {
    uint32_t interrupt_mask = 0;
    uint32_t configuration = 0;
    uint32_t admin_attributes = 0;
    uint64_t admin_submission = 0;
    uint64_t admin_completion = 0;
  };

  void after_configuration_write(uint16_t offset, size_t size) override;

  uint64_t register_value(uint64_t offset) const;
  void write_register(uint64_t offset, uint32_t value);
  void write_doorbell(uint64_t offset, uint32_t value);
  // With mutex_ held.
  void configure(uint32_t value);
  bool enable();
  void disable();

  // On the controller's thread.
  void run_admin();
  void post(uint16_t id, Admin::Outcome outcome);
  void tell_events();
  void note_size();

  void signal(CompletionQueue& queue);  // Any thread.
  void forget(const CompletionQueue& queue);
  void drive_interrupt();  // With interrupt_mutex_ held.
  void wake() const;
  void note_wrong_doorbell(uint8_t information);  // Any thread.

  const Options options_;
  std::unique_ptr<storage::Disk> disk_;
  memory::GuestMemory& memory_;
  pci::Msix msix_;
  uint8_t msix_capability_ = 0;
  Shared shared_;

  std::mutex mutex_;  // Guards registers_.
  Registers registers_;
  std::atomic<uint32_t> status_ = 0;  // CSTS

  std::mutex interrupt_mutex_;  // Guards the INTx pin and what follows.
  std::set<const CompletionQueue*> pending_;
  bool pin_masked_ = false;

  // The controller's thread's, but for what mutex_ holders and doorbells call.
  Admin admin_;
  std::mutex admin_queue_mutex_;  // Guards the two pointers against doorbells.
  std::shared_ptr<SubmissionQueue> admin_submissions_;
  std::shared_ptr<CompletionQueue> admin_completions_;
  std::atomic<bool> size_changed_ = false;
  std::atomic<uint32_t> wrong_doorbells_ = 0;  // One bit for each kind of event.
  bool paused_ = false;
  std::atomic<bool> interrupted_ = false;
  const UniqueFd doorbell_event_;
  exec::LoopThread thread_;  // Last: it ends before what it uses.
};

}  // namespace alcove::devices::nvme
