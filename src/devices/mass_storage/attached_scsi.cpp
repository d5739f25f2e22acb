#include "devices/mass_storage/attached_scsi.h"

#include <bit>
#include <cstddef>

namespace alcove::devices::mass_storage {

using namespace spec::usb_storage;
using usb::Transfer;

namespace {

constexpr uint64_t kSector = 512;

uint16_t number(const std::array<uint8_t, 2>& bytes) {
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}
std::array<uint8_t, 2> bytes_of(uint16_t number) {
  return {static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
}

template <class T>
Bytes unit_bytes(const T& unit) {
  const auto bytes = std::as_bytes(std::span(&unit, 1));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Transfer* AttachedScsi::take(uint8_t endpoint, uint16_t stream) {
  const auto found = waiting_.extract({endpoint, stream});
  return found ? found.mapped() : nullptr;
}

void AttachedScsi::submit(Transfer& transfer) {
  const uint8_t endpoint = transfer.endpoint();
  const uint16_t stream = transfer.stream();
  const bool known = endpoint == kCommand || endpoint == kStatus || endpoint == kIn || endpoint == kOut;
  if (!known || (stream == 0) != (endpoint == kCommand)) {
    return transfer.complete(Transfer::Status::stall, 0);
  }
  waiting_[{endpoint, stream}] = &transfer;
  if (endpoint == kCommand) return take_unit();
  if (endpoint == kStatus) return send_answer(stream);
  if (const auto task = tasks_.find(stream); task != tasks_.end()) advance(TaskPointer(task->second));
}

bool AttachedScsi::cancel(Transfer& transfer) {
  if (busy_.contains(&transfer)) return false;
  std::erase_if(waiting_, [&](const auto& entry) { return entry.second == &transfer; });
  return true;
}

void AttachedScsi::restart() {
  for (const auto& [_, task] : tasks_) task->gone = true;
  abort_all();
  responses_.clear();
  for (const auto& [_, transfer] : std::exchange(waiting_, {})) transfer->complete(Transfer::Status::gone, 0);
}

void AttachedScsi::advance() {
  take_unit();
  for (const auto& [_, task] : std::map(tasks_)) advance(task);
}

// The command pipe.

void AttachedScsi::take_unit() {
  // A host that aborts what it begins, over and over, waits for the disk's thread, too.
  if (unit_.is_paused() || aborted_ >= kMostTags) return;
  Transfer* const transfer = take(kCommand, 0);
  if (!transfer) return;
  // Whichever unit it is, it is read once.
  std::array<std::byte, sizeof(CommandUnit)> bytes{};
  copy_in(*transfer, bytes);
  const auto command = std::bit_cast<CommandUnit>(bytes);
  TaskManagementUnit management;
  std::memcpy(&management, bytes.data(), sizeof management);
  static_assert(offsetof(CommandUnit, tag) == offsetof(TaskManagementUnit, tag));
  const bool is_command = command.id == kUnitCommand && transfer->size() >= sizeof command;
  const bool is_management = command.id == kUnitTaskManagement && transfer->size() >= sizeof management;
  const Tag tag = number(command.tag);
  if ((!is_command && !is_management) || tag == 0 || tag > kMostTags) return refuse_unit(*transfer);
  transfer->complete(Transfer::Status::success, transfer->size());
  if (is_command) return take_command(command);
  manage_tasks(management);
}

// There is no stream to say so on.
void AttachedScsi::refuse_unit(Transfer& transfer) {
  halt(kCommand);
  transfer.complete(Transfer::Status::stall, 0);
}

void AttachedScsi::take_command(const CommandUnit& unit) {
  const Tag tag = number(unit.tag);
  if (is_in_use(tag)) {  // Section 6.2.7: neither is done.
    abort(tag);
    return respond(tag, kOverlappedTag);
  }
  const auto task = std::make_shared<Task>();
  task->tag = tag;
  if (unit.logical_unit != decltype(unit.logical_unit){}) {
    task->command = spec::scsi::kUnitNotSupported;
  } else if (unit.additional_length >> 2 != 0) {
    task->command = spec::scsi::kInvalidField;
  } else {
    task->command = unit_.target().parse(std::as_bytes(std::span(unit.command)));
  }
  if (const auto* answer = std::get_if<Answer>(&task->command)) task->left = answer->bytes.size();
  if (const auto* read = std::get_if<Read>(&task->command)) task->left = read->size;
  if (const auto* write = std::get_if<Write>(&task->command)) task->left = write->size;
  if (const auto* parameters = std::get_if<Parameters>(&task->command)) task->left = parameters->size;
  tasks_[tag] = task;
  advance(task);
}

// A command.

void AttachedScsi::advance(const TaskPointer& task) {
  const bool is_input =
      std::holds_alternative<Read>(task->command) || std::holds_alternative<Answer>(task->command);
  while (task->left > 0) {
    if (task->working || task->aborted || unit_.is_paused()) return;
    if (!(is_input ? move_in(task) : move_out(task))) return;
  }
  if (!task->working && !task->aborted && !unit_.is_paused()) work(task);
}

// The data have been moved.
void AttachedScsi::work(const TaskPointer& task) {
  const auto finished = [this, task] { finish(task); };
  if (const auto* sense = std::get_if<Sense>(&task->command)) return finish(task, *sense);
  if (std::holds_alternative<Flush>(task->command)) {
    return unit_.flush(working(task, spec::scsi::kWriteError, finished));
  }
  if (std::holds_alternative<Parameters>(task->command)) {
    auto ranges = unit_.target().unmap(task->received);
    if (!ranges) return finish(task, ranges.error());
    return unit_.discard(*std::move(ranges), working(task, spec::scsi::kWriteError, finished));
  }
  finish(task);
}

// False: nothing more can be done now.
bool AttachedScsi::move_in(const TaskPointer& task) {
  Transfer* const transfer = take(kIn, task->tag);
  if (!transfer) return false;
  const uint64_t size = std::min(transfer->size(), task->left);
  if (std::holds_alternative<Read>(task->command)) {
    move(task, *transfer, size);
    return false;
  }
  copy_out(*transfer, std::span(std::get<Answer>(task->command).bytes).subspan(task->done, size));
  task->done += size;
  task->left -= size;
  transfer->complete(Transfer::Status::success, size);
  return true;
}

bool AttachedScsi::move_out(const TaskPointer& task) {
  Transfer* const transfer = take(kOut, task->tag);
  if (!transfer) return false;
  const uint64_t size = std::min(transfer->size(), task->left);
  if (std::holds_alternative<Write>(task->command)) {
    move(task, *transfer, size);
    return false;
  }
  task->received.resize(task->done + size);
  copy_in(*transfer, std::span(task->received).subspan(task->done));
  task->done += size;
  task->left -= size;
  transfer->complete(Transfer::Status::success, transfer->size());  // What is too much is taken and dropped.
  return true;
}

// Between disk and guest memory directly.
void AttachedScsi::move(const TaskPointer& task, Transfer& transfer, uint64_t size) {
  const bool reads = std::holds_alternative<Read>(task->command);
  // Transfers end where packets do, and packets have whole sectors.
  if (size == 0 || size % kSector) {
    transfer.complete(Transfer::Status::success, 0);
    return finish(task, spec::scsi::kDataPhaseError);
  }
  task->busy = &transfer;
  busy_.insert(&transfer);
  auto next = working(task, reads ? spec::scsi::kReadError : spec::scsi::kWriteError,
                      [this, task] { advance(task); });
  auto buffers = first_bytes(transfer, size);
  const uint64_t done = task->done;
  task->done += size;
  task->left -= size;
  if (reads)
    return unit_.read(std::get<Read>(task->command).offset + done, std::move(buffers), std::move(next));
  const Write& write = std::get<Write>(task->command);
  unit_.write(write.offset + done, std::move(buffers), write.to_medium, std::move(next));
}

Unit::Next AttachedScsi::working(const TaskPointer& task, Sense failure,
                                 std::move_only_function<void()> next) {
  task->working = true;
  const uint64_t before = task->done;
  return [this, task, failure, before, next = std::move(next)](const storage::IoResult& done) mutable {
    task->working = false;
    if (Transfer* const transfer = std::exchange(task->busy, nullptr)) {
      busy_.erase(transfer);
      const uint64_t moved =
          std::holds_alternative<Read>(task->command) ? task->done - before : transfer->size();
      transfer->complete(task->gone ? Transfer::Status::gone : Transfer::Status::success,
                         done && !task->aborted ? moved : 0);
    }
    if (task->aborted) {
      if (--aborted_ == 0) {
        for (const auto& [tag, code] : std::exchange(responses_, {})) respond(tag, code);
      }
      take_unit();
    } else if (!done) {
      finish(task, failure);
    } else {
      next();
    }
  };
}

void AttachedScsi::finish(const TaskPointer& task, const Sense& sense) {
  tasks_.erase(task->tag);
  const bool is_good = sense == spec::scsi::kNoSense;
  if (!is_good) end_data(task->tag);
  const Bytes data = is_good ? Bytes() : Target::sense_data(sense);
  Bytes bytes =
      unit_bytes(SenseUnit{.tag = bytes_of(task->tag),
                           .status = is_good ? spec::scsi::kStatusGood : spec::scsi::kStatusCheckCondition,
                           .length = bytes_of(static_cast<uint16_t>(data.size()))});
  bytes.insert(bytes.end(), data.begin(), data.end());
  answer(task->tag, std::move(bytes));
}

// What the host has given for the data of a command that failed: nothing comes, what would have gone is
// dropped. Were it left to the host to take back, Linux would report an error of the transport instead of
// ours.
void AttachedScsi::end_data(Tag tag) {
  if (Transfer* const in = take(kIn, tag)) in->complete(Transfer::Status::success, 0);
  if (Transfer* const out = take(kOut, tag)) out->complete(Transfer::Status::success, out->size());
}

// Task management.

void AttachedScsi::manage_tasks(const TaskManagementUnit& unit) {
  const Tag tag = number(unit.tag), managed = number(unit.managed_tag);
  if (is_in_use(tag)) {
    abort(tag);
    return respond(tag, kOverlappedTag);
  }
  if (unit.function != kResetNexus && unit.logical_unit != decltype(unit.logical_unit){}) {
    return respond(tag, kIncorrectUnit);
  }
  switch (unit.function) {
    case kAbortTask:
      abort(managed);
      return respond(tag, kFunctionComplete);
    case kAbortTaskSet:
    case kClearTaskSet:
    case kResetUnit:
    case kResetNexus:
      abort_all();
      return respond(tag, kFunctionComplete);
    case kQueryTask:
      return respond(tag, tasks_.contains(managed) ? kFunctionSucceeded : kFunctionComplete);
    case kQueryTaskSet:
      return respond(tag, tasks_.empty() ? kFunctionComplete : kFunctionSucceeded);
    default:
      return respond(tag, kFunctionNotSupported);
  }
}

void AttachedScsi::abort(Tag tag) {
  answers_.erase(tag);
  const auto found = tasks_.extract(tag);
  if (!found) return;
  found.mapped()->aborted = true;
  if (found.mapped()->working) ++aborted_;
}

void AttachedScsi::abort_all() {
  while (!tasks_.empty()) abort(tasks_.begin()->first);
  answers_.clear();
}

// Answers.

// Not before the disk's thread is through with what was aborted: then nothing of it happens any more.
void AttachedScsi::respond(Tag tag, uint8_t code) {
  if (aborted_ > 0) {
    responses_[tag] = code;
    return;
  }
  answer(tag, unit_bytes(ResponseUnit{.tag = bytes_of(tag), .code = code}));
}

void AttachedScsi::answer(Tag tag, Bytes bytes) {
  answers_[tag] = std::move(bytes);
  send_answer(tag);
}

void AttachedScsi::send_answer(Tag tag) {
  const auto found = answers_.find(tag);
  if (found == answers_.end()) return;
  Transfer* const transfer = take(kStatus, tag);
  if (!transfer) return;
  const auto size = std::min<uint64_t>(transfer->size(), found->second.size());
  copy_out(*transfer, std::span(found->second).first(size));
  answers_.erase(found);
  transfer->complete(Transfer::Status::success, size);
}

}  // namespace alcove::devices::mass_storage
