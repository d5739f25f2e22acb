// USB Attached SCSI (T10 2095-D): many commands at once, each by its tag, which is also the stream on which
// its data and its answer travel.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "devices/mass_storage/transport.h"
#include "spec/usb_storage.h"

namespace alcove::devices::mass_storage {

class AttachedScsi final : public Transport {
 public:
  static constexpr uint8_t kCommand = 0x04, kStatus = 0x83, kIn = 0x81, kOut = 0x02;
  // Streams, and so commands, at once: 2^n.
  static constexpr uint8_t kStreamExponent = 5;
  static constexpr uint16_t kMostTags = 1 << kStreamExponent;

  using Transport::Transport;

  void submit(usb::Transfer& transfer) override;
  bool cancel(usb::Transfer& transfer) override;
  void restart() override;
  void advance() override;

 private:
  using Tag = uint16_t;
  struct Task {
    Tag tag = 0;
    Command command;
    uint64_t left = 0;  // Bytes that are still to be moved.
    uint64_t done = 0;
    Bytes received;
    bool working = false;           // The disk's thread has something to do.
    bool aborted = false;           // Nobody waits for it,
    bool gone = false;              // because the device was reset.
    usb::Transfer* busy = nullptr;  // With the disk's thread.
  };
  using TaskPointer = std::shared_ptr<Task>;

  void take_unit();
  void take_command(const spec::usb_storage::CommandUnit& unit);
  void manage_tasks(const spec::usb_storage::TaskManagementUnit& unit);
  void refuse_unit(usb::Transfer& transfer);

  // Goes on with a command, as far as the host has given transfers.
  void advance(const TaskPointer& task);
  bool move_in(const TaskPointer& task);
  bool move_out(const TaskPointer& task);
  void move(const TaskPointer& task, usb::Transfer& transfer, uint64_t size);
  void work(const TaskPointer& task);
  // What follows the disk's work.
  Unit::Next working(const TaskPointer& task, Sense failure, std::move_only_function<void()> next);
  void finish(const TaskPointer& task, const Sense& sense = spec::scsi::kNoSense);
  void end_data(Tag tag);

  bool is_in_use(Tag tag) const { return tasks_.contains(tag) || answers_.contains(tag); }
  void abort(Tag tag);
  void abort_all();
  void respond(Tag tag, uint8_t code);
  void answer(Tag tag, Bytes bytes);
  void send_answer(Tag tag);
  usb::Transfer* take(uint8_t endpoint, uint16_t stream);

  std::map<std::pair<uint8_t, uint16_t>, usb::Transfer*> waiting_;  // By endpoint and stream.
  std::set<const usb::Transfer*> busy_;                             // With the disk's thread.
  std::map<Tag, TaskPointer> tasks_;
  std::map<Tag, Bytes> answers_;  // That the host has given no transfer for.
  // Aborted, with the disk's thread; and what is to be answered when that is through with them.
  unsigned aborted_ = 0;
  std::map<Tag, uint8_t> responses_;
};

}  // namespace alcove::devices::mass_storage
