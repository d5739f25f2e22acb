// String instructions and their repetition.
//
// REP commits its registers after each piece, so that a fault or an interrupt finds them precise, and leaves
// to the run loop, with RIP still at itself, when something wants attention.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/soft/mmu/bulk.h"
#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

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

// Elements that are next in memory, all in one page, of which the host can do as many at once as it likes.
struct Run {
  size_t count = 0;
  uint64_t lowest = 0;  // Offset of the lowest one.
};

// Of `count` elements from `offset` on, in the direction that DF says, those in the same page; not across the
// segment's limit or the end of the address size's range. None: one by one.
template <class T, class Address>
Run run_of(const Cpu& cpu, unsigned segment, uint64_t count, Address offset) {
  const uint64_t in_page = (cpu.segment_base[segment] + offset) & 0xfff;
  if (in_page + sizeof(T) > 4096) return {};
  Run run;
  uint64_t end = offset + uint64_t{sizeof(T)} - 1;  // Of the last byte.
  if (cpu.flags.test(kDf)) {
    run.count = std::min({count, in_page / sizeof(T) + 1, uint64_t{offset} / sizeof(T) + 1});
    run.lowest = offset - (run.count - 1) * sizeof(T);
  } else {
    run.count = std::min<uint64_t>(count, (4096 - in_page) / sizeof(T));
    run.lowest = offset;
    end += (run.count - 1) * sizeof(T);
  }
  if (end < offset || end > static_cast<Address>(~Address{0})) return {};
  if (!cpu.flat && (cpu.segments[segment].expands_down() || end > cpu.segments[segment].limit)) return {};
  return run;
}

// Host memory behind a range within one page, or null where each access needs its own path. Downwards the
// range does not begin with the first element, whose address a fault tells: then nothing is tried here.
const std::byte* readable(Cpu& cpu, uint64_t address, size_t size) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  const auto is_there = [&] { return entry.read_tag == wanted_tag(address, size, cpu.tlb_generation); };
  if (!is_there() && !cpu.flags.test(kDf)) probe_read(cpu, address, 1);
  return is_there() ? reinterpret_cast<const std::byte*>(address + entry.addend) : nullptr;
}

// As `fill` says. False where each access needs its own path.
bool store_run(Cpu& cpu, uint64_t address, size_t size, Fill fill, const void* context) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  if (entry.write_tag == wanted_tag(address, size, cpu.tlb_generation)) [[likely]] {
    fill(reinterpret_cast<std::byte*>(address + entry.addend), context);
    return true;
  }
  return !cpu.flags.test(kDf) && store_to_ram(cpu, address, size, fill, context);
}

// The source's and the target's next elements, by address.
template <class T, class Address>
size_t runs(Cpu& cpu, const Insn& insn, uint64_t count, bool write, uint64_t& from, uint64_t& to) {
  const Run source = run_of<T>(cpu, insn.segment, count, offset_of<Address>(cpu, rsi));
  const Run target = run_of<T>(cpu, es, source.count, offset_of<Address>(cpu, rdi));
  if (target.count < 2) return 0;
  // With DF set the target's may be fewer: the source's lowest is then a higher one.
  const uint64_t skipped = cpu.flags.test(kDf) ? (source.count - target.count) * sizeof(T) : 0;
  const size_t bytes = target.count * sizeof(T);
  from = linear(cpu, insn.segment, source.lowest + skipped, bytes, false);
  to = linear(cpu, es, target.lowest, bytes, write);
  return target.count;
}

template <class T>
T element(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
struct Copy {
  const std::byte* from;
  size_t count;
  bool down;
};
// Of elements that overlap, as the guest's instruction; so no memmove().
template <class T>
void copy(std::byte* to, const void* context) {
  auto [from, count, down] = *static_cast<const Copy<T>*>(context);
  if (down) {
    while (count-- != 0) {
      const T value = element<T>(from + count * sizeof(T));
      std::memcpy(to + count * sizeof(T), &value, sizeof value);
    }
    return;
  }
  if constexpr (sizeof(T) == 1) asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count)::"memory");
  if constexpr (sizeof(T) == 2) asm volatile("rep movsw" : "+S"(from), "+D"(to), "+c"(count)::"memory");
  if constexpr (sizeof(T) == 4) asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count)::"memory");
  if constexpr (sizeof(T) == 8) asm volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count)::"memory");
}

template <class T>
struct Value {
  T value;
  size_t count;
};
template <class T>
void repeat(std::byte* to, const void* context) {
  auto [value, count] = *static_cast<const Value<T>*>(context);
  if constexpr (sizeof(T) == 1) asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
  if constexpr (sizeof(T) == 2) asm volatile("rep stosw" : "+D"(to), "+c"(count) : "a"(value) : "memory");
  if constexpr (sizeof(T) == 4) asm volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
  if constexpr (sizeof(T) == 8) asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

// Each kind: once() does one element; several(), of at most `count`, as many as it can at once, and returns
// how many.
struct Movs {
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn& insn) {
    const T value = load<T>(cpu, source<Address>(cpu, insn, sizeof(T)));
    store<T>(cpu, target<Address>(cpu, sizeof(T), true), value);
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)));
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn& insn, uint64_t count) {
    uint64_t from, to;
    const size_t elements = runs<T, Address>(cpu, insn, count, true, from, to);
    if (elements == 0) return 0;
    const size_t bytes = elements * sizeof(T);
    // The source's entry may give way to the target's, but its host address stays right.
    const std::byte* in = readable(cpu, from, bytes);
    if (!in) return 0;
    const Copy<T> source{in, elements, cpu.flags.test(kDf)};
    if (!store_run(cpu, to, bytes, copy<T>, &source)) return 0;
    const int64_t distance = step(cpu, sizeof(T)) * static_cast<int64_t>(elements);
    advance<Address>(cpu, rsi, distance);
    advance<Address>(cpu, rdi, distance);
    return elements;
  }
};

struct Stos {
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn&) {
    store<T>(cpu, target<Address>(cpu, sizeof(T), true), read_gpr<T>(cpu, rax));
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn&, uint64_t count) {
    const Run run = run_of<T>(cpu, es, count, offset_of<Address>(cpu, rdi));
    if (run.count < 2) return 0;
    const size_t bytes = run.count * sizeof(T);
    const uint64_t to = linear(cpu, es, run.lowest, bytes, true);
    const Value<T> value{read_gpr<T>(cpu, rax), run.count};
    if (!store_run(cpu, to, bytes, repeat<T>, &value)) return 0;
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)) * static_cast<int64_t>(run.count));
    return run.count;
  }
};

struct Lods {
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn& insn) {
    write_gpr<T>(cpu, rax, load<T>(cpu, source<Address>(cpu, insn, sizeof(T))));
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)));
  }
  // Nobody sees the elements before the last.
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn& insn, uint64_t count) {
    const Run run = run_of<T>(cpu, insn.segment, count, offset_of<Address>(cpu, rsi));
    if (run.count < 2) return 0;
    const size_t bytes = run.count * sizeof(T);
    const std::byte* const in = readable(cpu, linear(cpu, insn.segment, run.lowest, bytes, false), bytes);
    if (!in) return 0;
    write_gpr<T>(cpu, rax, element<T>(cpu.flags.test(kDf) ? in : in + bytes - sizeof(T)));
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)) * static_cast<int64_t>(run.count));
    return run.count;
  }
};

// These stop behind the first element for which the comparison is not `equal`.
struct Cmps {
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn& insn) {
    const T a = load<T>(cpu, source<Address>(cpu, insn, sizeof(T)));
    const T b = load<T>(cpu, target<Address>(cpu, sizeof(T), false));
    set_comparison_flags<T>(cpu, a, b);
    advance<Address>(cpu, rsi, step(cpu, sizeof(T)));
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn& insn, uint64_t count, bool equal) {
    if (cpu.flags.test(kDf)) return 0;
    uint64_t first, second;
    const size_t elements = runs<T, Address>(cpu, insn, count, false, first, second);
    if (elements == 0) return 0;
    const std::byte* const a = readable(cpu, first, elements * sizeof(T));
    const std::byte* const b = a ? readable(cpu, second, elements * sizeof(T)) : nullptr;
    if (!b) return 0;
    size_t i = 0;
    while (i + 1 < elements && (element<T>(a + i * sizeof(T)) == element<T>(b + i * sizeof(T))) == equal) ++i;
    set_comparison_flags<T>(cpu, element<T>(a + i * sizeof(T)), element<T>(b + i * sizeof(T)));
    advance<Address>(cpu, rsi, static_cast<int64_t>((i + 1) * sizeof(T)));
    advance<Address>(cpu, rdi, static_cast<int64_t>((i + 1) * sizeof(T)));
    return i + 1;
  }
};

struct Scas {
  template <class T, class Address>
  static void once(Cpu& cpu, const Insn&) {
    const T b = load<T>(cpu, target<Address>(cpu, sizeof(T), false));
    set_comparison_flags<T>(cpu, read_gpr<T>(cpu, rax), b);
    advance<Address>(cpu, rdi, step(cpu, sizeof(T)));
  }
  template <class T, class Address>
  static size_t several(Cpu& cpu, const Insn&, uint64_t count, bool equal) {
    if (cpu.flags.test(kDf)) return 0;
    const Run run = run_of<T>(cpu, es, count, offset_of<Address>(cpu, rdi));
    if (run.count < 2) return 0;
    const size_t bytes = run.count * sizeof(T);
    const std::byte* const in = readable(cpu, linear(cpu, es, run.lowest, bytes, false), bytes);
    if (!in) return 0;
    const T wanted = read_gpr<T>(cpu, rax);
    size_t i = 0;
    while (i + 1 < run.count && (element<T>(in + i * sizeof(T)) == wanted) == equal) ++i;
    set_comparison_flags<T>(cpu, wanted, element<T>(in + i * sizeof(T)));
    advance<Address>(cpu, rdi, static_cast<int64_t>((i + 1) * sizeof(T)));
    return i + 1;
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
    if (!cpu.single_step) done = Kind::template several<T, Address>(cpu, insn, count);
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
  while (true) {
    const uint64_t count = offset_of<Address>(cpu, rcx);
    if (count == 0) return;
    size_t done = 0;
    if (!cpu.single_step) done = Kind::template several<T, Address>(cpu, insn, count, wanted);
    if (done == 0) {
      Kind::template once<T, Address>(cpu, insn);
      done = 1;
    }
    advance<Address>(cpu, rcx, -static_cast<int64_t>(done));
    if (cpu.flags.zf() != wanted || count == done) return;
    if (wants_to_leave(cpu)) {
      cpu.rip = cpu.this_rip();
      return;
    }
  }
}

template <class Kind, class T, class Address>
Handler pick_repetition(const Insn& insn) {
  if (!insn.rep && !insn.repne) return threaded<execute_once<Kind, T, Address>>;
  if constexpr (std::is_same_v<Kind, Cmps> || std::is_same_v<Kind, Scas>)
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
