// String instructions and their repetition.
//
// REP commits its registers after each piece, so that a fault or an interrupt finds them precise, and leaves
// to the run loop, with RIP still at itself, when something wants attention.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

// Comparisons between two looks at Cpu::attention.
constexpr unsigned kComparisonsPerLook = 1024;

// `Address` is as wide as the address size.
template <class Address>
Address offset_of(const Cpu& cpu, unsigned number) {
  return static_cast<Address>(cpu.gpr[number]);
}
template <class Address>
void advance(Cpu& cpu, unsigned number, int64_t distance) {
  write_gpr<Address>(cpu, number, static_cast<Address>(cpu.gpr[number] + static_cast<uint64_t>(distance)));
}

uint64_t linear(Cpu& cpu, unsigned segment, uint64_t offset, size_t size, bool write) {
  return cpu.flat ? cpu.segment_base[segment] + offset : check_segment(cpu, segment, offset, size, write);
}
template <class Address>
uint64_t source(Cpu& cpu, const Insn& insn, size_t size) {
  return linear(cpu, insn.segment, offset_of<Address>(cpu, rsi), size, false);
}
template <class Address>
uint64_t target(Cpu& cpu, size_t size, bool write) {
  return linear(cpu, es, offset_of<Address>(cpu, rdi), size, write);
}

int64_t step(const Cpu& cpu, size_t size) {
  return cpu.flags.test(kDf) ? -static_cast<int64_t>(size) : static_cast<int64_t>(size);
}

template <class T>
void set_comparison_flags(Cpu& cpu, T a, T b) {
  const auto difference = static_cast<T>(a - b);
  cpu.flags.set_arithmetic<T>(difference, static_cast<T>((~a & b) | ((~a | b) & difference)));
}

// How many of `count` elements can be done at once upwards from `offset`: up to the end of the page, and not
// across the segment's limit or the end of the address size's range. 0: one by one.
template <class T, class Address>
size_t contiguous(const Cpu& cpu, unsigned segment, uint64_t count, Address offset) {
  const uint64_t address = cpu.segment_base[segment] + offset;
  const uint64_t bytes = 4096 - (address & 0xfff);
  if (bytes > static_cast<uint64_t>(static_cast<Address>(~offset)) + (sizeof(Address) < 8)) return 0;
  if (!cpu.flat) {
    const Segment& descriptor = cpu.segments[segment];
    if (descriptor.expands_down() || uint64_t{offset} + bytes - 1 > descriptor.limit) return 0;
  }
  return std::min<uint64_t>(count, bytes / sizeof(T));
}

// Host memory behind a range within one page, or null where each access needs its own path.
const std::byte* readable(Cpu& cpu, uint64_t address, size_t size) {
  load<uint8_t>(cpu, address);  // Brings the page into the TLB, or raises.
  const TlbEntry& entry = cpu.tlb->entry(address);
  return entry.read_tag == wanted_tag(address, size, cpu.tlb_generation)
             ? reinterpret_cast<const std::byte*>(address + entry.addend)
             : nullptr;
}
std::byte* writable(Cpu& cpu, uint64_t address, size_t size) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  return entry.write_tag == wanted_tag(address, size, cpu.tlb_generation)
             ? reinterpret_cast<std::byte*>(address + entry.addend)
             : writable_slow(cpu, address, size);
}

struct Movs {
  static constexpr bool kCompares = false;
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn& insn) {
    const T value = load<T>(cpu, source<Address>(cpu, insn, sizeof(T)));
    store<T>(cpu, target<Address>(cpu, sizeof(T), true), value);
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)));
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
  // Does several elements; returns how many.
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn& insn, uint64_t count) {
    const size_t from = contiguous<T>(cpu, insn.segment, count, offset_of<Address>(cpu, rsi));
    const size_t elements = contiguous<T>(cpu, es, from, offset_of<Address>(cpu, rdi));
    if (elements < 2) return 0;
    const size_t bytes = elements * sizeof(T);
    const uint64_t source_address = source<Address>(cpu, insn, bytes);
    const uint64_t target_address = target<Address>(cpu, bytes, true);
    // The source's entry may give way to the target's, but its host address stays right.
    const std::byte* in = readable(cpu, source_address, bytes);
    std::byte* out = in ? writable(cpu, target_address, bytes) : nullptr;
    if (!out) return 0;
    if (out > in && out < in + bytes) {  // Elements copied before are copied again.
      for (size_t i = 0; i < bytes; i += sizeof(T)) {
        T value;
        std::memcpy(&value, in + i, sizeof value);
        std::memcpy(out + i, &value, sizeof value);
      }
    } else {
      std::memmove(out, in, bytes);
    }
    advance<Address>(cpu, rsi, static_cast<int64_t>(bytes));
    advance<Address>(cpu, rdi, static_cast<int64_t>(bytes));
    return elements;
  }
};

struct Stos {
  static constexpr bool kCompares = false;
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn&) {
    store<T>(cpu, target<Address>(cpu, sizeof(T), true), read_gpr<T>(cpu, rax));
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn&, uint64_t count) {
    const size_t elements = contiguous<T>(cpu, es, count, offset_of<Address>(cpu, rdi));
    if (elements < 2) return 0;
    const size_t bytes = elements * sizeof(T);
    std::byte* out = writable(cpu, target<Address>(cpu, bytes, true), bytes);
    if (!out) return 0;
    const T value = read_gpr<T>(cpu, rax);
    if (sizeof(T) == 1 || value == 0)
      std::memset(out, static_cast<uint8_t>(value), bytes);
    else
      for (size_t i = 0; i < bytes; i += sizeof(T)) std::memcpy(out + i, &value, sizeof value);
    advance<Address>(cpu, rdi, static_cast<int64_t>(bytes));
    return elements;
  }
};

struct Lods {
  static constexpr bool kCompares = false;
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn& insn) {
    write_gpr<T>(cpu, rax, load<T>(cpu, source<Address>(cpu, insn, sizeof(T))));
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)));
  }
  template <class T, class Address>
  static size_t several(Cpu&, const Insn&, uint64_t) {
    return 0;
  }
};

struct Cmps {
  static constexpr bool kCompares = true;
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn& insn) {
    const T a = load<T>(cpu, source<Address>(cpu, insn, sizeof(T)));
    const T b = load<T>(cpu, target<Address>(cpu, sizeof(T), false));
    set_comparison_flags<T>(cpu, a, b);
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)));
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
};

struct Scas {
  static constexpr bool kCompares = true;
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn&) {
    const T b = load<T>(cpu, target<Address>(cpu, sizeof(T), false));
    set_comparison_flags<T>(cpu, read_gpr<T>(cpu, rax), b);
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
};

bool wants_to_leave(const Cpu& cpu) {
  return cpu.single_step || cpu.attention.load(std::memory_order_relaxed) != 0;
}

template <class Kind, class T, class Address>
void execute_once(Cpu& cpu, const Insn& insn) {
  Kind::template once<T, Address>(cpu, insn);
}

// MOVS, STOS, LODS: any REP prefix repeats.
template <class Kind, class T, class Address>
void execute_repeat(Cpu& cpu, const Insn& insn) {
  while (true) {
    const uint64_t count = offset_of<Address>(cpu, rcx);
    if (count == 0) return;
    size_t done = 0;
    if (!cpu.flags.test(kDf) && !cpu.single_step) done = Kind::template several<T, Address>(cpu, insn, count);
    if (done == 0) {
      Kind::template once<T, Address>(cpu, insn);
      done = 1;
    }
    advance<Address>(cpu, rcx, -static_cast<int64_t>(done));
    if (wants_to_leave(cpu)) {
      if (count != done) cpu.rip = cpu.this_rip();
      return;
    }
  }
}

// CMPS, SCAS: also until the comparison says to stop.
template <class Kind, class T, class Address>
void execute_search(Cpu& cpu, const Insn& insn) {
  const bool wanted = insn.rep;  // REPE goes on while equal, REPNE while not.
  unsigned left = kComparisonsPerLook;
  while (offset_of<Address>(cpu, rcx) != 0) {
    Kind::template once<T, Address>(cpu, insn);
    advance<Address>(cpu, rcx, -1);
    if (cpu.flags.zf() != wanted) return;
    if ((--left == 0 || cpu.single_step) && offset_of<Address>(cpu, rcx) != 0) {
      left = kComparisonsPerLook;
      if (wants_to_leave(cpu)) {
        cpu.rip = cpu.this_rip();
        return;
      }
    }
  }
}

template <class Kind, class T, class Address>
Handler pick_repetition(const Insn& insn) {
  if (!insn.rep && !insn.repne) return threaded<execute_once<Kind, T, Address>>;
  if constexpr (Kind::kCompares)
    return execute_search<Kind, T, Address>;
  else
    return execute_repeat<Kind, T, Address>;
}

template <class Kind, class T>
Handler pick_address(const Insn& insn) {
  switch (insn.address_size) {
    case 2:
      return pick_repetition<Kind, T, uint16_t>(insn);
    case 4:
      return pick_repetition<Kind, T, uint32_t>(insn);
    default:
      return pick_repetition<Kind, T, uint64_t>(insn);
  }
}

template <class Kind>
Handler select_string(const Insn& insn) {
  switch (insn.operand_size) {
    case 1:
      return pick_address<Kind, uint8_t>(insn);
    case 2:
      return pick_address<Kind, uint16_t>(insn);
    case 4:
      return pick_address<Kind, uint32_t>(insn);
    default:
      return pick_address<Kind, uint64_t>(insn);
  }
}

const Row kRows[] = {
    {"movs", "A4", "Yb,Xb", select_string<Movs>, kRep},
    {"movs", "A5", "Yv,Xv", select_string<Movs>, kRep},
    {"cmps", "A6", "Xb,Yb", select_string<Cmps>, kRep, kWritesAll},
    {"cmps", "A7", "Xv,Yv", select_string<Cmps>, kRep, kWritesAll},
    {"stos", "AA", "Yb,AL", select_string<Stos>, kRep},
    {"stos", "AB", "Yv,rAX", select_string<Stos>, kRep},
    {"lods", "AC", "AL,Xb", select_string<Lods>, kRep},
    {"lods", "AD", "rAX,Xv", select_string<Lods>, kRep},
    {"scas", "AE", "AL,Yb", select_string<Scas>, kRep, kWritesAll},
    {"scas", "AF", "rAX,Yv", select_string<Scas>, kRep, kWritesAll},
};

}  // namespace

std::span<const Row> string_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
