// Pages of an address space, mapped for the host's own MMU to translate: each at its address modulo the
// view's size. Two addresses that are equal modulo that share a place, which is the one's that was used last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "memory/guest_memory.h"

namespace alcove::cpu::soft {

class PageView {
 public:
  // At `origin`, where so much of the host's address space is reserved and not accessible. `size` is a power
  // of two. Unmaps nothing in the end.
  PageView(uint64_t origin, uint64_t size, const memory::GuestMemory& memory)
      : origin_(origin), size_(size), memory_(memory) {}
  ~PageView();
  PageView(const PageView&) = delete;
  PageView& operator=(const PageView&) = delete;

  // `size` is 4 KiB, or 2 MiB for a page that is contiguous in the host's memory, too, and may be written all
  // over.
  struct Page {
    uint64_t address;
    const std::byte* host;
    bool writable;
    uint64_t size;
    bool populate = true;  // Also where the host has no memory for it yet.
  };
  static constexpr uint64_t kLargeSize = 2 << 20;
  // False if the host refuses; then nothing is mapped any more. Pages of others than the memory's regions
  // (memory::FileWindow) are left out, as nothing tells a view when they change.
  bool map(const Page& page);
  // Pages of 4 KiB, sorted by address.
  bool map(std::span<const Page> pages);

  uint8_t* place(uint64_t address) const {
    return reinterpret_cast<uint8_t*>(origin_ + (address & (size_ - 1)));
  }
  // Whether what is there is that.
  bool has(uint64_t address, const std::byte* host) const;
  bool is_empty() const { return pages_.empty() && large_.empty(); }
  // Calls back with the addresses of that page of the host's memory.
  template <class Callback>
  void for_each_address(const std::byte* host_page, Callback&& callback) const {
    for (const auto& [number, mapped] : pages_)
      if (mapped.host == host_page) callback(mapped.address);
    for (const auto& [number, mapped] : large_)
      if (host_page >= mapped.host && host_page < mapped.host + kLargeSize)
        callback(mapped.address + static_cast<uint64_t>(host_page - mapped.host));
  }

  // Forgets the page, and all of the large page that it may be a part of.
  void forget_page(uint64_t address);
  // All that has its place within this range, no large page in part.
  void forget(uint64_t address, uint64_t size);
  // No store to this page of the host's memory passes any more. The processor stands still.
  void forbid_writes(const std::byte* host_page);
  // Nor to these of the address space.
  void forbid_writes(uint64_t address, uint64_t size);
  void clear();

 private:
  struct Mapped {
    uint64_t address;
    const std::byte* host;
    bool writable;
  };

  bool is_own(const std::byte* host) const;
  // They are false if the host refuses; everything is unmapped then.
  bool map_run(uint64_t address, const std::byte* host, uint64_t size, bool writable, bool populate);
  bool unmap(uint64_t address, uint64_t size);
  bool protect(uint64_t address, uint64_t size, bool writable);
  bool has_room(size_t mappings);
  // No more mappings are counted than there can be.
  void settle();

  uint64_t origin_, size_;
  const memory::GuestMemory& memory_;
  std::unordered_map<uint64_t, Mapped> pages_, large_;  // By their number within the view.
  size_t counted_ = 0;                                  // Of the process's mappings.
  size_t large_splits_ = 0;                             // Of those, by changes of parts of large pages.
};

}  // namespace alcove::cpu::soft
