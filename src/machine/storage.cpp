#include "machine/storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace alcove::machine {

namespace {

std::string field_of(size_t number) {
  return fmt::format("storage_devices[{}]", number);
}

}  // namespace

void Storage::add(MadeDisk disk) {
  const std::lock_guard lock(mutex_);
  devices_.emplace(next_number_++,
                   Device{.control = std::move(disk.control), .function = std::move(disk.function)});
}

size_t Storage::take_number() {
  const std::lock_guard lock(mutex_);
  return next_number_++;
}

void Storage::give_back_number(size_t number) {
  const std::lock_guard lock(mutex_);
  if (next_number_ == number + 1) next_number_ = number;
}

void Storage::plug(size_t number, MadeDisk disk, unsigned slot) {
  const std::lock_guard lock(mutex_);
  devices_.emplace(
      number, Device{.control = std::move(disk.control), .function = std::move(disk.function), .slot = slot});
}

Result<const Storage::Device*> Storage::find(size_t number) const {
  const auto found = devices_.find(number);
  if (found != devices_.end() && !found->second.is_taken) return &found->second;
  return fail(ErrorCode::not_supported, field_of(number), "there is no such disk",
              "it may have been detached");
}

Result<unsigned> Storage::slot_of(size_t number) const {
  const std::lock_guard lock(mutex_);
  const auto device = find(number);
  if (!device) return std::unexpected(device.error());
  if ((*device)->slot) return *(*device)->slot;
  return fail(ErrorCode::not_supported, field_of(number),
              "is part of the machine's configuration, and can't be detached while it runs",
              "stop the machine and change its configuration");
}

void Storage::add_waiting(size_t number, Detachment detachment) {
  const std::lock_guard lock(mutex_);
  devices_.at(number).waiting.push_back(std::move(detachment));
}

bool Storage::has_waiting(size_t number) const {
  const std::lock_guard lock(mutex_);
  const auto device = devices_.find(number);
  return device != devices_.end() && !device->second.waiting.empty();
}

std::optional<Storage::Detachment> Storage::take_waiting(size_t number, uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto device = devices_.find(number);
  if (device == devices_.end()) return std::nullopt;
  auto& waiting = device->second.waiting;
  const auto found = std::ranges::find(waiting, id, &Detachment::id);
  if (found == waiting.end()) return std::nullopt;
  std::optional<Detachment> result(std::move(*found));
  waiting.erase(found);
  return result;
}

std::optional<size_t> Storage::eject(unsigned slot) {
  const std::lock_guard lock(mutex_);
  for (auto& [number, device] : devices_) {
    if (device.slot != slot || device.is_taken) continue;
    if (std::exchange(device.is_ejected, true)) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

std::vector<size_t> Storage::leaving() const {
  const std::lock_guard lock(mutex_);
  std::vector<size_t> result;
  for (const auto& [number, device] : devices_) {
    if (device.is_ejected || !device.waiting.empty()) result.push_back(number);
  }
  return result;
}

std::optional<Storage::Leaving> Storage::take(size_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = devices_.find(number);
  if (found == devices_.end() || !found->second.slot || std::exchange(found->second.is_taken, true))
    return std::nullopt;
  Device& device = found->second;
  device.control->set_rushing(true);
  device.control->abandon();
  return Leaving{.number = number,
                 .slot = *device.slot,
                 .is_ejected = device.is_ejected,
                 .function = std::move(device.function),
                 .waiting = std::move(device.waiting)};
}

void Storage::forget(size_t number) {
  const std::lock_guard lock(mutex_);
  devices_.erase(number);
}

Result<> Storage::set_limits(size_t number, const StorageDeviceLimits& limits) {
  const std::lock_guard lock(mutex_);
  const auto device = find(number);
  if (!device) return std::unexpected(device.error());
  (*device)->control->set_limits(limits);
  return {};
}

Result<> Storage::resize(size_t number, uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto device = find(number);
  if (!device) return std::unexpected(device.error());
  if (!(*device)->function) {
    return fail(ErrorCode::not_supported, field_of(number), "is a USB disk: its guest would not notice",
                "pull it out, resize its image, and plug it in again");
  }
  if (auto resized = (*device)->control->resize(size, field_of(number)); !resized) return resized;
  (*device)->function->size_changed();
  return {};
}

Result<StorageDeviceStatistics> Storage::statistics(size_t number) const {
  const std::lock_guard lock(mutex_);
  const auto device = find(number);
  if (!device) return std::unexpected(device.error());
  return (*device)->control->statistics();
}

std::vector<DiskFunction*> Storage::functions() {
  const std::lock_guard lock(mutex_);
  std::vector<DiskFunction*> result;
  for (const auto& [number, device] : devices_) {
    if (device.function) result.push_back(device.function.get());
  }
  return result;
}

void Storage::set_rushing(bool rushing) {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, device] : devices_) device.control->set_rushing(rushing);
}

void Storage::pause() {
  set_rushing(true);
  for (DiskFunction* function : functions()) function->pause();
}

void Storage::resume() {
  set_rushing(false);
  for (DiskFunction* function : functions()) function->resume();
}

void Storage::abandon() {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, device] : devices_) device.control->abandon();
}

}  // namespace alcove::machine
