// The guest's physical memory: memfd-backed regions mapped into this process.
//
// Everything read from it is hostile: another virtual CPU may change a byte between two reads, so a value is
// read once into the host's own memory and checked there.
#pragma once

#include <alcove/error.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "memory/file_window.h"
#include "support/unique_fd.h"

namespace alcove::memory {

inline constexpr uint64_t kPageSize = 4096;

struct RegionSpec {
  uint64_t guest_address = 0;  // Multiple of 4 KiB.
  uint64_t size = 0;           // Multiple of 4 KiB, not 0.
  bool read_only = false;      // To the guest; the host may write it (firmware images).
};

struct Region {
  uint64_t guest_address = 0;
  uint64_t size = 0;
  std::byte* host = nullptr;
  uint64_t file_offset = 0;  // Within GuestMemory::fd().
  bool read_only = false;
};

// Told of every write that the host makes on the guest's behalf (devices, boot loader), after the bytes are
// there. Called on the writing thread; the engine uses it to drop translations of code that was overwritten.
class WriteObserver {
 public:
  virtual ~WriteObserver() = default;
  virtual void on_host_write(uint64_t guest_address, uint64_t size) = 0;
  // The same of whole pages that the host has taken back, and that read as zero now.
  virtual void on_discard(uint64_t guest_address, uint64_t size) { on_host_write(guest_address, size); }
};

// Told when a window moves, before its new address is seen by find_window() and locate(). Any thread, one
// call at a time for each window.
class WindowObserver {
 public:
  virtual ~WindowObserver() = default;
  virtual void on_window_moved(size_t window, uint64_t address) = 0;
};

// Regions are fixed at creation; all members but create() and those that set observers may be called from any
// thread. Addresses outside the regions are not an error of the caller's: they make the call return false.
class GuestMemory {
 public:
  // Regions must be sorted by address and disjoint. Pages are allocated by the host when first touched.
  // `windows`: their sizes; the guest sees none at first.
  static Result<GuestMemory> create(std::span<const RegionSpec> regions,
                                    std::span<const uint64_t> windows = {});

  GuestMemory(GuestMemory&&) noexcept;
  GuestMemory& operator=(GuestMemory&&) noexcept;
  ~GuestMemory();

  std::span<const Region> regions() const { return regions_; }
  int fd() const { return fd_.get(); }
  uint64_t total_size() const;

  // The region that holds all of [address, address+size), or null. Never wraps.
  const Region* find(uint64_t address, uint64_t size) const;

  // Host address of [address, address+size) if one region holds all of it, otherwise null. Writes through it
  // must be followed by mark_written().
  std::byte* host_range(uint64_t address, uint64_t size) const {
    const Region* region = find(address, size);
    return region ? region->host + (address - region->guest_address) : nullptr;
  }

  // A window is no region, and nothing but locate() finds what is in it.
  std::span<const std::unique_ptr<FileWindow>> windows() const { return windows_; }
  // The guest sees it there from now on, or nowhere (kNowhere, and where regions are).
  void place_window(size_t window, uint64_t address);

  // Where devices read and write the guest's data: what is in one piece from `address` on, of a region or of
  // a window. Must be followed by mark_written().
  struct Place {
    std::byte* host = nullptr;
    uint64_t size = 0;
    bool read_only = false;
  };
  std::optional<Place> locate(uint64_t address) const;
  // All of it in one piece, and writable if it `is_written`; else null.
  std::byte* buffer(uint64_t address, uint64_t size, bool is_written) const {
    const auto place = locate(address);
    return place && size <= place->size && !(is_written && place->read_only) ? place->host : nullptr;
  }

  // Copies; false, with nothing written to guest memory, if no one region holds all of the range. write()
  // refuses read-only regions unless `force` (the host loading firmware).
  [[nodiscard]] bool read(uint64_t address, std::span<std::byte> out) const;
  [[nodiscard]] bool write(uint64_t address, std::span<const std::byte> in, bool force = false);

  // One value in the host's byte order, read or written in a single access when naturally aligned.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  std::optional<T> load(uint64_t address) const {
    const std::byte* p = host_range(address, sizeof(T));
    if (!p) return std::nullopt;
    return read_once<T>(p);
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] bool store(uint64_t address, const T& value) {
    return write(address, std::as_bytes(std::span(&value, 1)));
  }

  // Call after bytes were written through host_range().
  void mark_written(uint64_t address, uint64_t size) {
    if (observer_) observer_->on_host_write(address, size);
  }
  void set_write_observer(WriteObserver* observer) { observer_ = observer; }  // Before the guest runs.
  void set_window_observer(WindowObserver* observer) { window_observer_ = observer; }

  // Gives the whole pages within the range back to the host; they read as zero afterwards.
  void discard(uint64_t address, uint64_t size);

  // Bytes of guest memory that the host really holds for it now.
  uint64_t resident_size() const;

 private:
  GuestMemory() = default;

  template <class T>
  static T read_once(const std::byte* p) {
    if constexpr (sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8) {
      using Word =
          std::conditional_t<sizeof(T) == 1, uint8_t,
                             std::conditional_t<sizeof(T) == 2, uint16_t,
                                                std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;
      Word word;
      if (reinterpret_cast<uintptr_t>(p) % sizeof(T) == 0) {
        word = __atomic_load_n(reinterpret_cast<const Word*>(p), __ATOMIC_RELAXED);
      } else {
        std::memcpy(&word, p, sizeof word);
      }
      T value;
      std::memcpy(&value, &word, sizeof value);
      return value;
    } else {
      T value;
      std::memcpy(&value, p, sizeof value);
      return value;
    }
  }

  UniqueFd fd_;
  std::vector<Region> regions_;
  std::vector<std::unique_ptr<FileWindow>> windows_;
  WriteObserver* observer_ = nullptr;
  WindowObserver* window_observer_ = nullptr;
};

}  // namespace alcove::memory
