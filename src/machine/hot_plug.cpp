// Disks that come and go while the machine runs.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "machine/implementation.h"

namespace alcove::machine {

namespace {

constexpr std::chrono::hours kLongestDetachment{24};

std::unexpected<Error> not_running() {
  return fail(ErrorCode::invalid_virtual_machine_state, "", "the machine has no guest",
              "disks come and go while it runs or is paused");
}

Result<MadeDisk> make(const StorageDeviceConfiguration& device, const DiskContext& context,
                      std::vector<UniqueFd> image, const DiskEvents& events, size_t number) {
  if (const auto* block = std::get_if<VirtioBlockDeviceConfiguration>(&device))
    return make_disk(*block, context, std::move(image), "attachment", events);
  if (const auto* nvme = std::get_if<NVMExpressControllerDeviceConfiguration>(&device))
    return make_disk(*nvme, context, std::move(image), "attachment", events, number);
  return fail(ErrorCode::not_supported, "", "a USB disk has no slot", "plug it into a USB controller");
}

}  // namespace

// Where functions are is looked up without a lock by each access. So there are none.
template <class Change>
auto Machine::Implementation::while_processors_stand(Change change) {
  const bool running = state_ == State::running;
  if (running) processors_->pause();
  auto result = change();
  // As of run().
  if (running && guest_event_ == GuestEvent::none) processors_->resume();
  return result;
}

Result<size_t> Machine::Implementation::attach_storage(const StorageDeviceConfiguration& device,
                                                       std::vector<UniqueFd> image) {
  Storage& storage = peripherals_->storage();
  const size_t number = storage.take_number();
  const auto refuse = [&](Error error) {
    storage.give_back_number(number);
    return std::unexpected(std::move(error));
  };
  // Without the lock: a server may take its time.
  auto disk = make(device, disk_context(configuration_, *memory_, *vm_), std::move(image),
                   disk_events(observer_, number), number);
  if (!disk) return refuse(std::move(disk.error()));
  const std::lock_guard lock(mutex_);
  if (state_ != State::running && state_ != State::paused) return refuse(not_running().error());
  const Result<unsigned> slot =
      while_processors_stand([&] { return board_->plug(disk->function->function(), "storage_devices"); });
  if (!slot) return refuse(slot.error());
  storage.plug(number, *std::move(disk), *slot);
  board_->tell_arrival(*slot);
  return number;
}

void Machine::Implementation::detach_storage(size_t number, const StorageDeviceDetachOptions& options,
                                             Completion<> completion) {
  Storage& storage = peripherals_->storage();
  Gone gone;
  Result<> refused;
  {
    const std::lock_guard lock(mutex_);
    const Result<unsigned> slot = storage.slot_of(number);
    if (state_ != State::running && state_ != State::paused) {
      refused = not_running();
    } else if (!slot) {
      refused = std::unexpected(slot.error());
    } else {
      const uint64_t id = next_detachment_++;
      storage.add_waiting(number, {id, options.force, std::move(completion)});
      if (options.force && options.timeout.count() <= 0) {
        take_out(number, gone);
      } else {
        const auto timeout = std::clamp<std::chrono::milliseconds>(options.timeout, {}, kLongestDetachment);
        board_->ask_for(*slot);
        control_->loop().post([this, number, id, due = exec::Clock::now() + timeout] {
          control_->loop().call_at(due, [this, number, id] { detachment_is_due(number, id); });
        });
      }
    }
  }
  if (!refused) return completion(std::move(refused));
  tell(std::move(gone));
}

void Machine::Implementation::on_eject(unsigned slot) {
  const auto number = peripherals_->storage().eject(slot);
  if (!number) return;
  // The guest finds nothing there as soon as it has said so.
  board_->hide(slot);
  control_->loop().post([this, number = *number] { take_out_ejected(number); });
}

void Machine::Implementation::take_out_ejected(size_t number) {
  Gone gone;
  {
    const std::lock_guard lock(mutex_);
    take_out(number, gone);
  }
  tell(std::move(gone));
}

void Machine::Implementation::detachment_is_due(size_t number, uint64_t id) {
  Gone gone;
  std::optional<Storage::Detachment> given_up;
  {
    const std::lock_guard lock(mutex_);
    Storage& storage = peripherals_->storage();
    given_up = storage.take_waiting(number, id);
    if (!given_up) return;
    if (given_up->force) {
      storage.add_waiting(number, *std::exchange(given_up, std::nullopt));
      take_out(number, gone);
    } else if (const auto slot = storage.slot_of(number); slot && !storage.has_waiting(number)) {
      board_->stop_asking_for(*slot);
    }
  }
  tell(std::move(gone));
  if (!given_up) return;
  given_up->completion(fail(ErrorCode::operation_cancelled, fmt::format("storage_devices[{}]", number),
                            "the guest has not let go of it in time",
                            "see what keeps it in the guest, or detach it by force"));
}

void Machine::Implementation::take_out(size_t number, Gone& gone) {
  auto leaving = peripherals_->storage().take(number);
  if (!leaving) return;
  while_processors_stand([&] {
    board_->unplug(leaving->slot, leaving->function->function());
    return true;
  });
  // A guest that was not asked, or did not answer, is to forget what it had.
  if (!leaving->is_ejected) board_->ask_for(leaving->slot);
  leaving->function.reset();
  peripherals_->storage().forget(number);
  gone.push_back(*std::move(leaving));
}

Machine::Implementation::Gone Machine::Implementation::take_out_leaving() {
  Gone gone;
  for (const size_t number : peripherals_->storage().leaving()) take_out(number, gone);
  return gone;
}

void Machine::Implementation::tell(Gone gone) {
  for (Storage::Leaving& leaving : gone) {
    observer_.on_storage_detached(leaving.number);
    for (Storage::Detachment& detachment : leaving.waiting) detachment.completion({});
  }
}

}  // namespace alcove::machine
