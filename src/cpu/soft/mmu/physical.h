// The guest's physical address space as the engine needs it: host addresses, devices, and for each page of
// RAM what keeps stores to it from taking the fast path.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "cpu/hypervisor.h"
#include "memory/guest_memory.h"
#include "memory/populator.h"

namespace alcove::cpu::soft {

// One page of RAM. All zero to begin with, so that pages never executed cost no host memory.
struct PageState {
  // The 64-byte lines that decoded instructions were made from. While any bit is set, no processor's TLB lets
  // stores to the page pass.
  std::atomic<uint64_t> code_lines{0};
  // Changes when decoded instructions of the page may differ from memory. Blocks remember it.
  std::atomic<uint32_t> code_generation{0};
  std::atomic<uint32_t> bits{0};

  static constexpr uint32_t kLocked = 1u << 0;     // Guards changes of code_lines and code_generation.
  static constexpr uint32_t kProtected = 1u << 1;  // No TLB has a write tag for the page any more.
  static constexpr uint32_t kDirty = 1u << 2;      // Written since the dirty log was last read.
  // Of the lines some are a table's that tells processors what their views can show. A processor that has
  // stored to the page goes on when all have looked at that.
  static constexpr uint32_t kTable = 1u << 4;

  // Bits of code_lines for the bytes [offset, offset + size) of the page.
  static uint64_t lines(uint64_t offset, uint64_t size) {
    const uint64_t first = offset >> 6, last = (offset + size - 1) >> 6;
    return (~uint64_t{0} << first) & (~uint64_t{0} >> (63 - last));
  }

  void lock();
  void unlock() { bits.fetch_and(~kLocked, std::memory_order_release); }
};

class PhysicalMemory final : public memory::WriteObserver {
 public:
  PhysicalMemory(memory::GuestMemory& memory, IoHandler& io, memory::Populator& populator);
  ~PhysicalMemory() override;
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  struct Page {
    std::byte* host = nullptr;  // Null: no RAM.
    PageState* state = nullptr;
    bool read_only = false;
  };
  // `address` is any within the page, of RAM or of a window (memory::FileWindow). The guest is going to use
  // it, and gets memory for all of the large page that it is in.
  Page page(uint64_t address) const;
  // The same for who does not use it.
  Page look_up(uint64_t address) const;
  // The same for who may use it soon: what was given back stays so.
  Page page_beside(uint64_t address) const { return has_holes(address) ? look_up(address) : page(address); }
  // Whether some of the large page that it is in has been given back: who maps it must not fill that.
  bool has_holes(uint64_t address) const;

  // Whether stores to all of this range may pass: RAM without code, of which no log is kept.
  bool is_plain(uint64_t address, uint64_t size) const;
  // Whether all of this range is RAM that guests may write, whatever it holds. What windows show is not, for
  // it is in another file than RAM, and changes without any processor's doing: PageViews don't have it.
  bool is_ram(uint64_t address, uint64_t size) const;

  // To be called after bytes of a page were written by other means than a TLB's write tag. True if they held
  // decoded instructions, which are now invalid.
  bool after_write(PageState& state, uint64_t offset, uint64_t size);

  // Called after each change of a page's code_generation, on any thread. Set before processors run.
  void set_code_listener(std::function<void(const PageState&)> listener) { listener_ = std::move(listener); }

  // Changes after each change of a page's code_generation.
  const std::atomic<uint32_t>& code_epoch() const { return code_epoch_; }

  // WriteObserver. Any thread.
  void on_host_write(uint64_t guest_address, uint64_t size) override;
  void on_discard(uint64_t guest_address, uint64_t size) override;

  // Whether write tags must be withheld until a page is marked dirty.
  bool logging() const { return logging_.load(std::memory_order_acquire); }
  void start_logging() { logging_.store(true, std::memory_order_seq_cst); }
  // Moves the log of the region that begins at `guest_address` into `bitmap`; false if there is none such.
  bool take_log(uint64_t guest_address, std::span<uint64_t> bitmap);

  memory::GuestMemory& memory() { return memory_; }
  IoHandler& io() { return io_; }

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
    std::byte* host;
    PageState* states;
    bool read_only;
  };

  struct Shown {
    const memory::FileWindow* window;
    PageState* states;
  };

  // Of a large page's memory.
  enum class Use : uint8_t { none, all, holes, given_back };

  const Range* range_of(uint64_t address) const;
  static std::atomic<Use>& use_of(const Range& range, uint64_t page);
  static Page page_in(const Range& range, uint64_t number) {
    return {range.host + number * memory::kPageSize, range.states + number, range.read_only};
  }
  Page page_in_window(uint64_t address) const;
  static PageState* make_states(uint64_t size);
  // Of the large page that the page is in.
  void begin_use(const Range& range, uint64_t page) const;

  memory::GuestMemory& memory_;
  IoHandler& io_;
  memory::Populator& populator_;
  std::vector<Range> ranges_;  // Sorted; a handful.
  std::vector<Shown> windows_;
  std::function<void(const PageState&)> listener_;
  std::atomic<bool> logging_{false};
  std::atomic<uint32_t> code_epoch_{1};
};

}  // namespace alcove::cpu::soft
