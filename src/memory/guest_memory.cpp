#include "memory/guest_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "memory/large_pages.h"

namespace alcove::memory {
namespace {

uint64_t round_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

Result<GuestMemory> GuestMemory::create(std::span<const RegionSpec> specs,
                                        std::span<const uint64_t> windows) {
  uint64_t file_size = 0, next = 0;  // `next` is 0 at first, and behind a region that ends the address space.
  for (const RegionSpec& spec : specs) {
    const bool whole = spec.size != 0 && spec.guest_address % kPageSize == 0 && spec.size % kPageSize == 0;
    const bool wraps = spec.guest_address + spec.size - 1 < spec.guest_address;
    if (!whole || wraps || spec.guest_address < next || (file_size != 0 && next == 0)) {
      return fail(ErrorCode::internal, "memory_size",
                  fmt::format("region {:#x}+{:#x} is not of whole pages, wraps or is out of order",
                              spec.guest_address, spec.size));
    }
    file_size += round_up(spec.size, kLargePageSize);
    next = spec.guest_address + spec.size;
  }

  GuestMemory memory;
  memory.fd_ = UniqueFd(memfd_create("alcove guest memory", MFD_CLOEXEC));
  if (!memory.fd_ || ftruncate(memory.fd_.get(), static_cast<off_t>(file_size)) != 0) {
    return fail(ErrorCode::internal, "memory_size",
                fmt::format("the host cannot provide {} MiB of memory: {}", file_size >> 20, strerror(errno)),
                "choose a smaller memory size");
  }
  uint64_t offset = 0;
  for (const RegionSpec& spec : specs) {
    void* host = map_for_large_pages(memory.fd_.get(), spec.size, offset, PROT_READ | PROT_WRITE);
    if (host == MAP_FAILED) {
      return fail(ErrorCode::internal, "memory_size",
                  fmt::format("the host cannot map {} MiB of memory: {}", spec.size >> 20, strerror(errno)),
                  "choose a smaller memory size");
    }
    memory.regions_.push_back(
        {spec.guest_address, spec.size, static_cast<std::byte*>(host), offset, spec.read_only});
    offset += round_up(spec.size, kLargePageSize);
  }
  for (const uint64_t size : windows) {
    auto window = FileWindow::create(size);
    if (!window) return std::unexpected(std::move(window.error()));
    memory.windows_.push_back(*std::move(window));
  }
  return memory;
}

GuestMemory::GuestMemory(GuestMemory&& other) noexcept {
  *this = std::move(other);
}

GuestMemory& GuestMemory::operator=(GuestMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(regions_, other.regions_);
  std::swap(windows_, other.windows_);
  std::swap(observer_, other.observer_);
  std::swap(window_observer_, other.window_observer_);
  return *this;
}

GuestMemory::~GuestMemory() {
  for (const Region& region : regions_) munmap(region.host, region.size);
}

uint64_t GuestMemory::total_size() const {
  uint64_t total = 0;
  for (const Region& region : regions_) total += region.size;
  return total;
}

const Region* GuestMemory::find(uint64_t address, uint64_t size) const {
  for (const Region& region : regions_) {
    if (address < region.guest_address) return nullptr;
    const uint64_t offset = address - region.guest_address;
    if (offset < region.size) return size <= region.size - offset ? &region : nullptr;
  }
  return nullptr;
}

void GuestMemory::place_window(size_t window, uint64_t address) {
  FileWindow& moved = *windows_[window];
  const auto overlaps = [&](const Region& region) {
    return address < region.guest_address + region.size && region.guest_address < address + moved.size();
  };
  constexpr uint64_t kAddressed = uint64_t{1} << 52;  // By any processor.
  if (address > kAddressed - moved.size() || std::ranges::any_of(regions_, overlaps))
    address = FileWindow::kNowhere;
  if (address == moved.address()) return;
  if (window_observer_) window_observer_->on_window_moved(window, address);
  moved.address_ = address;
}

std::optional<GuestMemory::Place> GuestMemory::locate(uint64_t address) const {
  if (const Region* const region = find(address, 1)) {
    const uint64_t offset = address - region->guest_address;
    return Place{region->host + offset, region->size - offset, region->read_only};
  }
  for (const auto& window : windows_) {
    const uint64_t offset = address - window->address();
    if (offset < window->size()) return Place{window->host() + offset, window->size() - offset, false};
  }
  return {};
}

bool GuestMemory::read(uint64_t address, std::span<std::byte> out) const {
  const std::byte* from = host_range(address, out.size());
  if (!from) return false;
  std::copy_n(from, out.size(), out.data());  // Unlike memcpy(), also where there is nothing to copy.
  return true;
}

bool GuestMemory::write(uint64_t address, std::span<const std::byte> in, bool force) {
  const Region* region = find(address, in.size());
  if (!region || (region->read_only && !force)) return false;
  std::byte* to = region->host + (address - region->guest_address);
  const bool one_access =
      in.size() <= 8 && std::has_single_bit(in.size()) && reinterpret_cast<uintptr_t>(to) % in.size() == 0;
  if (!one_access) {
    std::ranges::copy(in, to);
  } else {
    uint64_t value = 0;
    std::memcpy(&value, in.data(), in.size());
    switch (in.size()) {
      case 1:
        __atomic_store_n(reinterpret_cast<uint8_t*>(to), value, __ATOMIC_RELEASE);
        break;
      case 2:
        __atomic_store_n(reinterpret_cast<uint16_t*>(to), value, __ATOMIC_RELEASE);
        break;
      case 4:
        __atomic_store_n(reinterpret_cast<uint32_t*>(to), value, __ATOMIC_RELEASE);
        break;
      default:
        __atomic_store_n(reinterpret_cast<uint64_t*>(to), value, __ATOMIC_RELEASE);
        break;
    }
  }
  mark_written(address, in.size());
  return true;
}

void GuestMemory::discard(uint64_t address, uint64_t size) {
  const Region* region = find(address, size);
  if (!region) return;
  const uint64_t offset = address - region->guest_address;
  const uint64_t first = (offset + kPageSize - 1) & ~(kPageSize - 1);
  const uint64_t last = (offset + size) & ~(kPageSize - 1);
  if (first >= last) return;
  fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            static_cast<off_t>(region->file_offset + first), static_cast<off_t>(last - first));
  if (observer_) observer_->on_discard(region->guest_address + first, last - first);
}

uint64_t GuestMemory::resident_size() const {
  struct stat status{};
  if (fstat(fd_.get(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace alcove::memory
