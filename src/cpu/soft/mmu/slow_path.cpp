#include "cpu/soft/mmu/slow_path.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/engine.h"
#include "cpu/soft/mmu/access.h"
#include "cpu/soft/mmu/atomic.h"
#include "cpu/soft/mmu/bulk.h"
#include "cpu/soft/x86/debug.h"

namespace alcove::cpu::soft {
namespace {

constexpr size_t kLargestAccess = 64;

// The one or two pages of an access.
struct Parts {
  std::array<Mmu::Target, 2> targets;
  std::array<size_t, 2> sizes{};
};

void check_canonical(Cpu& cpu, uint64_t first, uint64_t last) {
  if (!cpu.long_mode() || (is_canonical(first) && is_canonical(last))) return;
  raise(cpu, cpu.insn && cpu.insn->segment == ss ? kStackFault : kGeneralProtection, 0);
}

Parts translate(Cpu& cpu, Tlb& tlb, uint64_t address, size_t size, bool write) {
  Mmu& mmu = cpu.engine->mmu();
  const Privilege privilege = mmu.privilege_of(&tlb);
  Parts parts;
  parts.sizes[0] = std::min<size_t>(size, memory::kPageSize - (address & ~kPageMask));
  parts.sizes[1] = size - parts.sizes[0];
  check_canonical(cpu, address, address + size - 1);
  parts.targets[0] = mmu.data(cpu, privilege, address, write);
  if (parts.sizes[1] != 0) {
    uint64_t next = address + parts.sizes[0];
    if (!cpu.long_mode()) next = static_cast<uint32_t>(next);
    parts.targets[1] = mmu.data(cpu, privilege, next, write);
  }
  if (cpu.dr[7] & 0xff) {
    check_data_breakpoints(cpu, address, size, write);
    if (cpu.pending_debug) {
      cpu.attention.fetch_or(kDebugAttention, std::memory_order_relaxed);
      cpu.engine->end_block();
    }
  }
  return parts;
}

// True if the world went on meanwhile.
bool written(Cpu& cpu, const Mmu::Target& target, size_t size) {
  if (target.direct) return false;
  Engine& engine = *cpu.engine;
  PageState& state = *target.state;
  if (engine.mmu().memory().after_write(state, target.physical & ~kPageMask, size))
    engine.abandon_block(state);
  if (!(state.bits.load(std::memory_order_relaxed) & PageState::kTable)) return false;
  // All processors look before their next translated block. Some may watch it again.
  engine.shared().world.exclusively(&engine.member(), [&state] {
    if (state.code_lines.load() == 0) state.bits.fetch_and(~PageState::kTable);
  });
  return true;
}

}  // namespace

void device_read(Cpu& cpu, uint64_t physical, std::byte* out, size_t size) {
  while (size != 0) {
    size_t part = std::min<size_t>(std::bit_floor(size), 8);
    if (const uint64_t misalignment = physical % part)
      part = std::min<size_t>(part, misalignment & (~misalignment + 1));
    const std::span<std::byte> data(out, part);
    if (!cpu.apic || !cpu.apic->read_memory(physical, data)) {
      cpu.engine->io().memory_read(physical, data);
    }
    physical += part;
    out += part;
    size -= part;
  }
}

void device_write(Cpu& cpu, uint64_t physical, const std::byte* in, size_t size) {
  while (size != 0) {
    size_t part = std::min<size_t>(std::bit_floor(size), 8);
    if (const uint64_t misalignment = physical % part)
      part = std::min<size_t>(part, misalignment & (~misalignment + 1));
    const std::span<const std::byte> data(in, part);
    if (!cpu.apic || !cpu.apic->write_memory(physical, data)) {
      cpu.engine->io().memory_write(physical, data);
    }
    physical += part;
    in += part;
    size -= part;
  }
}

Tlb& system_tlb(Cpu& cpu) {
  constexpr uint64_t kCr4Smap = 1u << 21;
  return cpu.engine->mmu().tlb(cpu.cr4 & kCr4Smap ? Privilege::supervisor : Privilege::supervisor_user_pages);
}

void load_with(Cpu& cpu, Tlb& tlb, uint64_t address, void* out, size_t size) {
  const Parts parts = translate(cpu, tlb, address, size, false);
  auto* to = static_cast<std::byte*>(out);
  for (size_t i = 0; i < 2 && parts.sizes[i] != 0; to += parts.sizes[i++]) {
    if (parts.targets[i].host) {
      copy_bytes(to, parts.targets[i].host, parts.sizes[i]);
    } else {
      device_read(cpu, parts.targets[i].physical, to, parts.sizes[i]);
    }
  }
}

void store_with(Cpu& cpu, Tlb& tlb, uint64_t address, const void* in, size_t size) {
  const Parts parts = translate(cpu, tlb, address, size, true);
  const auto* from = static_cast<const std::byte*>(in);
  bool went_on = false;
  for (size_t i = 0; i < 2 && parts.sizes[i] != 0; from += parts.sizes[i++]) {
    Mmu::Target target = parts.targets[i];
    target.direct = target.direct && !went_on;
    if (target.host) {
      copy_bytes(target.host, from, parts.sizes[i]);
      went_on = written(cpu, target, parts.sizes[i]);
    } else {
      device_write(cpu, target.physical, from, parts.sizes[i]);
      went_on = true;
    }
  }
}

void load_slow(Cpu& cpu, uint64_t address, void* out, size_t size) {
  load_with(cpu, *cpu.tlb, address, out, size);
}

void store_slow(Cpu& cpu, uint64_t address, const void* in, size_t size) {
  store_with(cpu, *cpu.tlb, address, in, size);
}

bool store_to_ram(Cpu& cpu, uint64_t address, size_t size, Fill fill, const void* context) {
  if (cpu.dr[7] & 0xff) return false;  // The element that a breakpoint watches is the last for the moment.
  const Parts parts = translate(cpu, *cpu.tlb, address, size, true);
  const Mmu::Target& target = parts.targets[0];
  if (!target.host) return false;
  fill(target.host, context);
  written(cpu, target, size);
  return true;
}

void probe_read(Cpu& cpu, uint64_t address, size_t size) {
  translate(cpu, *cpu.tlb, address, size, false);
}

void probe_write(Cpu& cpu, uint64_t address, size_t size) {
  translate(cpu, *cpu.tlb, address, size, true);
}

void modify_slow(Cpu& cpu, uint64_t address, size_t size, bool locked, void* old, Exchange exchange,
                 void* context) {
  const Parts parts = translate(cpu, *cpu.tlb, address, size, true);
  const Mmu::Target& target = parts.targets[0];
  if (target.host && parts.sizes[1] == 0 && (!locked || can_lock(target.host, size))) {
    modify_host(target.host, size, locked, old, exchange, context);
    written(cpu, target, size);
    return;
  }

  // Across lines, pages, or at devices, whose registers other processors reach only through their own
  // accesses.
  std::array<std::byte, kLargestAccess> value;
  const auto transfer = [&](bool write) {
    std::byte* at = value.data();
    for (size_t i = 0; i < 2 && parts.sizes[i] != 0; at += parts.sizes[i++]) {
      if (!parts.targets[i].host) continue;
      if (write) {
        std::memcpy(parts.targets[i].host, at, parts.sizes[i]);
      } else {
        std::memcpy(at, parts.targets[i].host, parts.sizes[i]);
      }
    }
  };
  const auto devices = [&](bool write) {
    std::byte* at = value.data();
    for (size_t i = 0; i < 2 && parts.sizes[i] != 0; at += parts.sizes[i++]) {
      if (parts.targets[i].host) continue;
      if (write) {
        device_write(cpu, parts.targets[i].physical, at, parts.sizes[i]);
      } else if (parts.targets[i].read_only) {
        copy_bytes(at, parts.targets[i].read_only, parts.sizes[i]);
      } else {
        device_read(cpu, parts.targets[i].physical, at, parts.sizes[i]);
      }
    }
  };
  bool went_on = !target.host || (parts.sizes[1] != 0 && !parts.targets[1].host);
  devices(false);
  const auto in_memory = [&] {
    transfer(false);
    std::memcpy(old, value.data(), size);
    exchange(value.data(), context);
    transfer(true);
  };
  if (locked) {
    Engine& engine = *cpu.engine;
    engine.shared().world.exclusively(&engine.member(), in_memory);
    went_on = true;
  } else {
    in_memory();
  }
  for (size_t i = 0; i < 2 && parts.sizes[i] != 0; ++i) {
    Mmu::Target part = parts.targets[i];
    part.direct = part.direct && !went_on;
    if (part.host) went_on |= written(cpu, part, parts.sizes[i]);
  }
  devices(true);
}

uint64_t check_segment(Cpu& cpu, unsigned segment, uint64_t offset, size_t size, bool write) {
  const Segment& s = cpu.segments[segment];
  const Vector fault = segment == ss ? kStackFault : kGeneralProtection;
  if (cpu.in_64bit()) return cpu.segment_base[segment] + offset;
  if (cpu.protected_mode() && !cpu.virtual_8086()) {
    // What was loaded with a null selector is not present. The selector itself tells nothing: after a switch
    // to protected mode segments stay as real mode had them. Data in code segments can't be written.
    if (!s.present()) raise(cpu, fault, 0);
    if (write ? !s.writable() : s.is_code() && !(s.access & 2)) raise(cpu, fault, 0);
  }
  const uint64_t last = offset + size - 1;
  if (s.expands_down()) {
    const uint64_t top = s.big() ? 0xffff'ffff : 0xffff;
    if (offset <= s.limit || last > top) raise(cpu, fault, 0);
  } else if (last > s.limit) {
    raise(cpu, fault, 0);
  }
  return static_cast<uint32_t>(s.base + offset);
}

}  // namespace alcove::cpu::soft
