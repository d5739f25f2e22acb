// One processor's translations: the data TLBs of its privilege levels, the generations that make address
// space switches cheap, and the slow paths behind load() and store().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "cpu/soft/mmu/flat_map.h"
#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/mmu/tlb.h"
#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft {

struct Cpu;

PagingMode mode_of(const Cpu& cpu);

// Whose rights a data access has. Each has a TLB of its own.
enum class Privilege : uint8_t {
  user,
  supervisor,             // May not touch user pages (SMAP).
  supervisor_user_pages,  // SMAP is off, or suspended by AC.
};

class Mmu {
 public:
  explicit Mmu(PhysicalMemory& memory);

  // The map to keep true, if there is one; of the address space that Cpu::tlb_generation tells.
  void set_flat_map(const Cpu& cpu, FlatMap* flat);

  PhysicalMemory& memory() { return memory_; }
  Tlb& tlb(Privilege privilege) { return tlbs_[static_cast<size_t>(privilege)]; }
  Privilege privilege_of(const Tlb* tlb) const { return static_cast<Privilege>(tlb - tlbs_.data()); }

  // Where an access of a processor may go. Raises its fault if it may not.
  struct Target {
    std::byte* host = nullptr;             // Null: a device, or nothing at all.
    const std::byte* read_only = nullptr;  // Of a store without `host`: what is there, but can't be changed.
    PageState* state = nullptr;
    uint64_t physical = 0;
    bool direct = false;  // Stores need no after_write().
  };
  Target data(Cpu& cpu, Privilege privilege, uint64_t address, bool write);
  // The beginning of the page that the byte at `address` is fetched from; `page_size` as in Translation.
  Target fetch(Cpu& cpu, uint64_t address, uint64_t& page_size);

  // Forgetting: see engine_services.h.
  void flush_all(Cpu& cpu);
  void flush_non_global(Cpu& cpu);
  void flush_pcid(Cpu& cpu, unsigned pcid);
  void flush_page(Cpu& cpu, uint64_t address);
  void switch_address_space(Cpu& cpu, bool keep);

  // While all processors stand still: the page's stores must take the slow path from now on.
  void drop_write_tags(uint64_t physical_page);
  void drop_all_write_tags();

  // Whether generations have begun anew since the last call: what others tagged with them is worth nothing.
  bool take_restart() { return std::exchange(restarted_, false); }

 private:
  // 0 to 0xffe: 0xfff with an all-ones page would look like an empty tag.
  static constexpr unsigned kGenerations = 0xfff;
  static constexpr unsigned kNoPcid = ~0u;

  // Pages beside one that was looked up, as translated code will use them next.
  void fill_neighbours(const Neighbours& neighbours, uint64_t address);
  uint64_t new_generation(Cpu& cpu, unsigned half);
  void new_lower_generation(Cpu& cpu);
  void new_upper_generation(Cpu& cpu);
  void clear_tlbs();
  void forget_upper_non_global(Cpu& cpu);
  UpperView* upper_view() const;
  void flush_view(Cpu& cpu, void (UpperView::*flush)(const PagingMode&));

  struct AddressSpace {
    unsigned pcid = kNoPcid;
    uint64_t generation = 0;
    uint64_t last_used = 0;
  };
  AddressSpace* find_space(unsigned pcid);
  void forget_space(AddressSpace& space);
  // All, and the present one.
  void forget_spaces(const Cpu& cpu);
  void remember_space(unsigned pcid, uint64_t generation);

  PhysicalMemory& memory_;
  FlatMap* flat_ = nullptr;
  std::array<Tlb, 3> tlbs_;
  std::array<unsigned, 2> last_generation_{};
  std::array<AddressSpace, 8> spaces_{};
  uint64_t uses_ = 0;
  // Non-global entries of the upper half: kernels have some among their global ones, so they are taken out
  // one by one when the address space changes. With the flag there are more than the array holds.
  std::array<TlbEntry*, 256> upper_non_global_entries_{};
  size_t upper_non_global_count_ = 0;
  bool upper_non_global_ = false;
  // Bounds, in each half, of the large pages of which parts may be in the TLBs.
  struct Bounds {
    uint64_t first = ~uint64_t{0};
    uint64_t last = 0;
  };
  std::array<Bounds, 2> large_pages_{};
  bool restarted_ = false;
};

// Devices and holes: an access of any size and alignment at `physical`, split as a bus would split it.
void device_read(Cpu& cpu, uint64_t physical, std::byte* out, size_t size);
void device_write(Cpu& cpu, uint64_t physical, const std::byte* in, size_t size);

}  // namespace alcove::cpu::soft
