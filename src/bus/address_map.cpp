#include "bus/address_map.h"

#include <fmt/format.h>

#include <algorithm>

namespace alcove::bus {

Result<> AddressMap::add(uint64_t address, uint64_t size, Device& device, std::string name) {
  if (size == 0 || address + size - 1 < address) {
    return fail(ErrorCode::internal, name,
                fmt::format("window {:#x}+{:#x} is empty or wraps", address, size));
  }
  auto next = std::ranges::lower_bound(windows_, address, {}, &Window::address);
  const Window* hit = nullptr;
  if (next != windows_.end() && next->address - address < size) hit = &*next;
  if (next != windows_.begin() && address - std::prev(next)->address < std::prev(next)->size)
    hit = &*std::prev(next);
  if (hit) {
    return fail(
        ErrorCode::internal, name,
        fmt::format("window {:#x}+{:#x} overlaps {} at {:#x}", address, size, hit->name, hit->address));
  }
  windows_.insert(next, {address, size, &device, std::move(name)});
  return {};
}

const AddressMap::Window* AddressMap::find(uint64_t address, uint64_t size) const {
  auto next = std::ranges::upper_bound(windows_, address, {}, &Window::address);
  if (next == windows_.begin()) return nullptr;
  const Window& window = *std::prev(next);
  const uint64_t offset = address - window.address;
  return offset < window.size && size <= window.size - offset ? &window : nullptr;
}

void AddressMap::read(uint64_t address, std::span<std::byte> data) const {
  const Window* window = find(address, data.size());
  if (!window || window->device->read(address - window->address, data) != Access::done) {
    std::ranges::fill(data, std::byte{0xff});
  }
}

void AddressMap::write(uint64_t address, std::span<const std::byte> data) const {
  if (const Window* window = find(address, data.size()))
    window->device->write(address - window->address, data);
}

}  // namespace alcove::bus
