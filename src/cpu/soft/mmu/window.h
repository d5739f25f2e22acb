// Pages of one address space's lower half, mapped for the host's own MMU to translate: what translated code
// of CPL 3 uses instead of the FlatMap in address spaces that compute for long (windows.h). An access costs
// one instruction more than the guest's own; one that the mappings do not allow is a fault of the host's,
// after which the interpreter makes it (translator.h).
//
//   base             Cpu
//   base + 64 KiB    jump cache, its return stack
//   base + 1 GiB     the window: the page at address A is at A modulo 16 TiB
//
// What a displacement can reach around the window is reserved and never mapped, so nothing but the guest's
// pages is within the guest's reach, whatever addresses it forms. Two addresses that are equal modulo 16 TiB
// share a place, which is the one's that was used last. An address without a page of its own finds its
// alias's: a program that dereferences a wild pointer may so get at another of its own pages, where the
// architecture has a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "cpu/soft/mmu/jump_cache.h"
#include "memory/guest_memory.h"

namespace alcove::cpu::soft {

class CpuMemory;

class Window {
 public:
  static constexpr uint64_t kSize = uint64_t{1} << 44, kMask = kSize - 1;
  static constexpr int32_t kJumps = 1 << 16, kReturns = kJumps + JumpCache::size(JumpCache::kLowerBits);
  static constexpr int32_t kOffset = 1 << 30;
  // Displacements of at most this may be added to an address after its reduction by kMask.
  static constexpr int32_t kReach = 1 << 29;

  // Null where the host does not give the address space, of which all windows of the process have a limited
  // share.
  static std::unique_ptr<Window> create(const CpuMemory& cpu, const memory::GuestMemory& memory);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  uint64_t base() const { return base_; }
  JumpCache& jumps() { return jumps_; }

  // `size` is 4 KiB, or 2 MiB for a page that is contiguous in the host's memory, too, and may be written all
  // over.
  struct Page {
    uint64_t address;
    const std::byte* host;
    bool writable;
    uint64_t size;
  };
  static constexpr uint64_t kLargeSize = 2 << 20;
  void map(const Page& page);
  // Pages of 4 KiB, sorted by address.
  void map(std::span<const Page> pages);

  // Forgets the page, and all of the large page that it may be a part of.
  void forget_page(uint64_t address);
  // No store to this page of the host's memory passes any more. The processor stands still.
  void forbid_writes(const std::byte* host_page);
  void clear();

 private:
  struct Mapped {
    uint64_t address;
    const std::byte* host;
    bool writable;
  };

  Window(uint64_t reserved, uint64_t base, const memory::GuestMemory& memory);
  // False if the host refuses; everything is unmapped then.
  bool map_run(uint64_t address, const std::byte* host, uint64_t size, bool writable);
  void unmap(uint64_t address, uint64_t size);
  void protect(uint64_t address, bool writable);
  uint8_t* place(uint64_t address) const {
    return reinterpret_cast<uint8_t*>(base_ + kOffset + (address & kMask));
  }
  bool has_room(size_t mappings);

  uint64_t reserved_;
  uint64_t base_;
  const memory::GuestMemory& memory_;
  JumpCache jumps_;
  std::unordered_map<uint64_t, Mapped> pages_, large_;  // By their number within the window.
  size_t counted_ = 0;                                  // Of the process's mappings.
};

}  // namespace alcove::cpu::soft
