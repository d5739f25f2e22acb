// Guest memory as instructions see it: by linear address, with paging, permissions and devices.
//
// All of these raise the architecture's fault and do not return if the access is not allowed; a store that
// faults has written nothing, also where it crosses pages.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/soft/mmu/tlb.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// The slow paths (mmu/slow_path.cpp): page walks, page-crossing accesses, devices, stores to translated code.
void load_slow(Cpu& cpu, uint64_t address, void* out, size_t size);
void store_slow(Cpu& cpu, uint64_t address, const void* in, size_t size);
// The host address of [address, address+size) with write permission; the range does not cross a page. Null if
// it is not plain RAM (a device, or it holds translated code): then load and store.
std::byte* writable_slow(Cpu& cpu, uint64_t address, size_t size);

template <class T>
T load(Cpu& cpu, uint64_t address) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  T value;
  if (entry.read_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) [[likely]] {
    std::memcpy(&value, reinterpret_cast<const void*>(address + entry.addend), sizeof value);
  } else {
    load_slow(cpu, address, &value, sizeof value);
  }
  return value;
}

template <class T>
void store(Cpu& cpu, uint64_t address, const std::type_identity_t<T>& value) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  if (entry.write_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) [[likely]] {
    std::memcpy(reinterpret_cast<void*>(address + entry.addend), &value, sizeof value);
  } else {
    store_slow(cpu, address, &value, sizeof value);
  }
}

// Checks that a later store of `size` bytes at `address` will not fault (page permissions, A and D bits).
void probe_write(Cpu& cpu, uint64_t address, size_t size);

// One atomic replacement on host memory, of any alignment; `expected` becomes what was found.
template <class T>
bool compare_exchange(void* host, T& expected, T desired) {
  if constexpr (sizeof(T) == 16) {
    auto low = static_cast<uint64_t>(expected);
    auto high = static_cast<uint64_t>(expected >> 64);
    bool done = false;
    asm volatile("lock cmpxchg16b %[memory]"
                 : [memory] "+m"(*static_cast<T*>(host)), "+a"(low), "+d"(high), "=@ccz"(done)
                 : "b"(static_cast<uint64_t>(desired)), "c"(static_cast<uint64_t>(desired >> 64))
                 : "memory");
    expected = static_cast<T>(high) << 64 | low;
    return done;
  } else {
    return __atomic_compare_exchange_n(static_cast<T*>(host), &expected, desired, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
  }
}

// Reads, computes and writes back as one access: `operation` maps the old value to the new; returns the old.
// Write permission is checked before anything is read. `locked` makes it atomic towards other processors and
// devices for every alignment; `operation` may then be called more than once.
template <class T, class Operation>
T modify(Cpu& cpu, uint64_t address, bool locked, Operation operation) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  void* host = nullptr;
  if (entry.write_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) [[likely]]
    host = reinterpret_cast<void*>(address + entry.addend);
  else if ((address & ~kPageMask) + sizeof(T) <= 4096)
    host = writable_slow(cpu, address, sizeof(T));
  T old;
  if (!host) {
    probe_write(cpu, address, sizeof(T));
    old = load<T>(cpu, address);
    store<T>(cpu, address, operation(old));
    return old;
  }
  std::memcpy(&old, host, sizeof old);
  if (locked) {
    while (!compare_exchange<T>(host, old, operation(old))) {
    }
  } else {
    const T value = operation(old);
    std::memcpy(host, &value, sizeof value);
  }
  return old;
}

// Implicit supervisor accesses whatever the CPL: descriptor tables, TSS, interrupt stack frames.
template <class T>
T load_system(Cpu& cpu, uint64_t address);
template <class T>
void store_system(Cpu& cpu, uint64_t address, const std::type_identity_t<T>& value);

// Linear address of a memory operand: segment base, base, index, displacement, truncated to the address size;
// `size` bytes are checked against the segment's limit and type outside 64-bit mode. Non-canonical addresses
// are left to the access's slow path.
uint64_t check_segment(Cpu& cpu, unsigned segment, uint64_t offset, size_t size, bool write);

inline uint64_t effective_offset(const Cpu& cpu, const Insn& insn) {
  const uint64_t offset = cpu.gpr[insn.base] + (cpu.gpr[insn.index] << insn.scale) + insn.displacement;
  if (insn.address_size == 8) [[likely]]
    return offset;
  return insn.address_size == 4 ? static_cast<uint32_t>(offset) : static_cast<uint16_t>(offset);
}

inline uint64_t linear_address(Cpu& cpu, const Insn& insn, size_t size, bool write) {
  const uint64_t offset = effective_offset(cpu, insn);
  if (cpu.flat) [[likely]]
    return cpu.segment_base[insn.segment] + offset;
  return check_segment(cpu, insn.segment, offset, size, write);
}

}  // namespace alcove::cpu::soft
