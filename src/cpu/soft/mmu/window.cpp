#include "cpu/soft/mmu/window.h"

#include <sys/mman.h>

#include <atomic>

#include "cpu/soft/mmu/flat_map.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPage = memory::kPageSize;
// The farthest access begins at the end of what is within reach.
constexpr size_t kReserved = Window::kOffset + Window::kSize + Window::kReach + kPage;
// Of the host's 128 TiB, beside what the FlatMaps need.
constexpr size_t kWindows = 3;
std::atomic<size_t> windows{0};

}  // namespace

std::unique_ptr<Window> Window::create(const CpuMemory& cpu, const memory::GuestMemory& memory) {
  if (windows.fetch_add(1) >= kWindows) {
    windows.fetch_sub(1);
    return nullptr;
  }
  void* const reserved =
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    windows.fetch_sub(1);
    return nullptr;
  }
  const auto base = reinterpret_cast<uint64_t>(reserved);
  madvise(reserved, kReserved, MADV_DONTDUMP);
  if (mmap(reserved, CpuMemory::size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, cpu.file(), 0) ==
          MAP_FAILED ||
      mprotect(reinterpret_cast<void*>(base + kJumps), kReturns + ReturnStack::kMemory - kJumps,
               PROT_READ | PROT_WRITE) != 0) {
    munmap(reserved, kReserved);
    windows.fetch_sub(1);
    return nullptr;
  }
  return std::unique_ptr<Window>(new Window(base, base, memory));
}

Window::Window(uint64_t reserved, uint64_t base, const memory::GuestMemory& memory)
    : reserved_(reserved),
      base_(base),
      pages_(base + kOffset, kSize, memory),
      jumps_(base + kJumps, JumpCache::kLowerBits, base + kReturns) {}

Window::~Window() {
  munmap(reinterpret_cast<void*>(reserved_), kReserved);
  --windows;
}

}  // namespace alcove::cpu::soft
