// Guest memory as instructions see it: by linear address, with paging, permissions and devices.
//
// All of these raise the architecture's fault and do not return if the access is not allowed; a store that
// faults has written nothing, also where it crosses pages.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/soft/mmu/atomic.h"
#include "cpu/soft/mmu/slow_path.h"
#include "cpu/soft/mmu/tlb.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// The slow paths (mmu/slow_path.cpp): page walks, page-crossing accesses, devices, stores to translated code.
void load_slow(Cpu& cpu, uint64_t address, void* out, size_t size);
void store_slow(Cpu& cpu, uint64_t address, const void* in, size_t size);

// The way to the slow paths, out of line: what instructions keep at hand stays in registers on the fast ones.
template <class T>
[[gnu::noinline, gnu::cold]] T load_cold(Cpu& cpu, uint64_t address) {
  T value;
  load_slow(cpu, address, &value, sizeof value);
  return value;
}
template <class T>
[[gnu::noinline, gnu::cold]] void store_cold(Cpu& cpu, uint64_t address, T value) {
  store_slow(cpu, address, &value, sizeof value);
}

template <class T>
[[gnu::always_inline]] inline T load(Cpu& cpu, uint64_t address) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  if (entry.read_tag != wanted_tag(address, sizeof(T), cpu.tlb_generation)) [[unlikely]]
    return load_cold<T>(cpu, address);
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(address + entry.addend), sizeof value);
  return value;
}

template <class T>
[[gnu::always_inline]] inline void store(Cpu& cpu, uint64_t address, const std::type_identity_t<T>& value) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  if (entry.write_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) [[likely]] {
    std::memcpy(reinterpret_cast<void*>(address + entry.addend), &value, sizeof value);
  } else {
    store_cold<T>(cpu, address, value);
  }
}

// Checks that a later load will not fault; the page is in the TLB then, if memory is there.
void probe_read(Cpu& cpu, uint64_t address, size_t size);

// Checks that a later store of `size` bytes at `address` will not fault (page permissions, A and D bits).
void probe_write(Cpu& cpu, uint64_t address, size_t size);

template <class T, class Operation>
[[gnu::noinline, gnu::cold]] T modify_cold(Cpu& cpu, uint64_t address, bool locked, Operation operation) {
  const auto exchange = [](void* value, void* context) {
    T in_and_out;
    std::memcpy(&in_and_out, value, sizeof in_and_out);
    in_and_out = (*static_cast<Operation*>(context))(in_and_out);
    std::memcpy(value, &in_and_out, sizeof in_and_out);
  };
  T old;
  modify_slow(cpu, address, sizeof(T), locked, &old, exchange, &operation);
  return old;
}

// Reads, computes and writes back as one access: `operation` maps the old value to the new; returns the old.
// Write permission is checked before anything is read. `locked` makes it atomic towards other processors and
// devices for every alignment; `operation` may then be called more than once. T: unsigned, 1 to 16 bytes.
template <class T, class Operation>
[[gnu::always_inline]] inline T modify(Cpu& cpu, uint64_t address, bool locked, Operation operation) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  if (entry.write_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) [[likely]] {
    void* const host = reinterpret_cast<void*>(address + entry.addend);
    T old;
    std::memcpy(&old, host, sizeof old);
    if (!locked) {
      const T desired = operation(old);
      std::memcpy(host, &desired, sizeof desired);
      return old;
    }
    if (can_lock(host, sizeof(T))) [[likely]] {
      while (!compare_exchange<T>(host, old, operation(old))) {
      }
      return old;
    }
  }
  return modify_cold<T>(cpu, address, locked, operation);
}

// Implicit supervisor accesses whatever the CPL: descriptor tables, TSS, interrupt stack frames.
template <class T>
T load_system(Cpu& cpu, uint64_t address) {
  Tlb& tlb = system_tlb(cpu);
  const TlbEntry& entry = tlb.entry(address);
  T value;
  if (entry.read_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) {
    std::memcpy(&value, reinterpret_cast<const void*>(address + entry.addend), sizeof value);
  } else {
    load_with(cpu, tlb, address, &value, sizeof value);
  }
  return value;
}
template <class T>
void store_system(Cpu& cpu, uint64_t address, const std::type_identity_t<T>& value) {
  Tlb& tlb = system_tlb(cpu);
  const TlbEntry& entry = tlb.entry(address);
  if (entry.write_tag == wanted_tag(address, sizeof(T), cpu.tlb_generation)) {
    std::memcpy(reinterpret_cast<void*>(address + entry.addend), &value, sizeof value);
  } else {
    store_with(cpu, tlb, address, &value, sizeof value);
  }
}

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
