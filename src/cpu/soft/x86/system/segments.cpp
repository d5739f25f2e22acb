#include "cpu/soft/x86/system/segments.h"

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint32_t index_of(uint16_t selector) {
  return selector & ~3u;
}

}  // namespace

Segment decode_segment(uint16_t selector, uint64_t descriptor) {
  Segment segment;
  segment.selector = selector;
  segment.access = descriptor >> 40 & 0xf0ff;
  segment.limit = static_cast<uint32_t>((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000));
  if (descriptor >> 55 & 1) segment.limit = segment.limit << 12 | 0xfff;
  segment.base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56 << 24);
  return segment;
}

std::optional<uint64_t> descriptor_address(const Cpu& cpu, uint16_t selector, size_t size) {
  const uint64_t offset = selector & ~7u;
  if (selector & 4) {
    if (!cpu.ldtr.present() || offset + size - 1 > cpu.ldtr.limit) return std::nullopt;
    return cpu.ldtr.base + offset;
  }
  if (offset + size - 1 > cpu.gdtr.limit) return std::nullopt;
  return cpu.gdtr.base + offset;
}

Descriptor read_descriptor(Cpu& cpu, uint16_t selector, Vector vector) {
  const auto address = descriptor_address(cpu, selector);
  if (!address) raise(cpu, vector, index_of(selector));
  Descriptor descriptor{.address = *address, .raw = load_system<uint64_t>(cpu, *address)};
  descriptor.segment = decode_segment(selector, descriptor.raw);
  return descriptor;
}

uint64_t read_upper_half(Cpu& cpu, const Descriptor& descriptor, Vector vector) {
  const uint16_t selector = descriptor.segment.selector;
  if (!descriptor_address(cpu, selector, 16)) raise(cpu, vector, index_of(selector));
  const uint64_t upper = load_system<uint64_t>(cpu, descriptor.address + 8);
  if (upper >> 40 & 0x1f) raise(cpu, vector, index_of(selector));
  return upper;
}

void mark_accessed(Cpu& cpu, Descriptor& descriptor) {
  if (descriptor.segment.access & 1) return;
  descriptor.segment.access |= 1;
  store_system<uint8_t>(cpu, descriptor.address + 5, static_cast<uint8_t>(descriptor.segment.access));
}

void set_segment(Cpu& cpu, SegmentIndex index, const Segment& segment) {
  cpu.segments[index] = segment;
  if (cpu.in_64bit()) {
    if (index >= fs) cpu.segment_base[index] = segment.base;
  } else {
    update_mode(cpu);
  }
}

Segment virtual_8086_segment(uint16_t selector) {
  Segment segment;
  segment.selector = selector;
  segment.access = 0xf3;
  segment.limit = 0xffff;
  segment.base = uint32_t{selector} << 4;
  return segment;
}

void load_real_segment(Cpu& cpu, SegmentIndex index, uint16_t selector) {
  Segment segment = cpu.segments[index];  // Limit and rights stay what they were ("unreal" mode).
  segment.selector = selector;
  segment.base = uint32_t{selector} << 4;
  set_segment(cpu, index, segment);
}

Descriptor check_stack_segment(Cpu& cpu, uint16_t selector, unsigned cpl, Vector vector) {
  if (is_null(selector)) raise(cpu, vector, 0);
  Descriptor descriptor = read_descriptor(cpu, selector, vector);
  const Segment& segment = descriptor.segment;
  if ((selector & 3) != cpl || !segment.writable() || segment.dpl() != cpl)
    raise(cpu, vector, index_of(selector));
  if (!segment.present()) raise(cpu, kStackFault, index_of(selector));
  return descriptor;
}

void load_segment(Cpu& cpu, SegmentIndex index, uint16_t selector) {
  if (cpu.real_mode()) return load_real_segment(cpu, index, selector);
  if (cpu.virtual_8086()) return set_segment(cpu, index, virtual_8086_segment(selector));
  if (is_null(selector)) {
    Segment null;
    null.selector = selector;
    if (index == ss) {
      if (!cpu.in_64bit() || cpu.cpl == 3 || (selector & 3) != cpu.cpl) raise(cpu, kGeneralProtection, 0);
      null.access = static_cast<uint16_t>(cpu.cpl << 5);
    }
    return set_segment(cpu, index, null);
  }
  Descriptor descriptor;
  if (index == ss) {
    descriptor = check_stack_segment(cpu, selector, cpu.cpl, kGeneralProtection);
  } else {
    descriptor = read_descriptor(cpu, selector, kGeneralProtection);
    const Segment& segment = descriptor.segment;
    const unsigned rpl = selector & 3;
    if (is_system(segment) || !is_readable(segment) ||
        (!is_conforming(segment) && (rpl > segment.dpl() || cpu.cpl > segment.dpl())))
      raise(cpu, kGeneralProtection, index_of(selector));
    if (!segment.present()) raise(cpu, kSegmentNotPresent, index_of(selector));
  }
  mark_accessed(cpu, descriptor);
  set_segment(cpu, index, descriptor.segment);
}

void drop_inner_segments(Cpu& cpu) {
  for (const SegmentIndex index : {es, ds, fs, gs}) {
    Segment& segment = cpu.segments[index];
    if (is_null(segment.selector) || segment.dpl() >= cpu.cpl || is_conforming(segment)) continue;
    // The base, which 64-bit code sets by MSR and uses whatever the selector is, stays.
    segment.selector = 0;
    segment.access = 0;
  }
}

void check_code_present(Cpu& cpu, const Descriptor& descriptor) {
  const Segment& code = descriptor.segment;
  if (!code.present()) raise(cpu, kSegmentNotPresent, index_of(code.selector));
  if (cpu.long_mode() && code.long_mode() && code.big())
    raise(cpu, kGeneralProtection, index_of(code.selector));
}

bool is_64bit_code(const Cpu& cpu, const Segment& code) {
  return cpu.long_mode() && code.long_mode();
}

void check_target(Cpu& cpu, const Segment& code, uint64_t rip) {
  if (is_64bit_code(cpu, code) ? !is_canonical(rip) : rip > code.limit) raise(cpu, kGeneralProtection, 0);
}

void commit_code_segment(Cpu& cpu, Descriptor& descriptor, unsigned cpl, uint64_t rip) {
  mark_accessed(cpu, descriptor);
  cpu.segments[cs] = descriptor.segment;
  cpu.segments[cs].selector = static_cast<uint16_t>((descriptor.segment.selector & ~3) | cpl);
  cpu.cpl = static_cast<uint8_t>(cpl);
  cpu.rip = rip;
}

StackPointer task_stack(Cpu& cpu, unsigned cpl) {
  const uint64_t base = cpu.tr.base;
  const bool wide = type_of(cpu.tr) & 8;
  const unsigned offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
  if (offset + (wide ? 6 : 4) - 1 > cpu.tr.limit) raise(cpu, kInvalidTss, index_of(cpu.tr.selector));
  if (wide)
    return {.selector = load_system<uint16_t>(cpu, base + offset + 4),
            .pointer = load_system<uint32_t>(cpu, base + offset)};
  return {.selector = load_system<uint16_t>(cpu, base + offset + 2),
          .pointer = load_system<uint16_t>(cpu, base + offset)};
}

uint64_t task_stack_64(Cpu& cpu, unsigned index) {
  const unsigned offset = 4 + 8 * index;
  if (offset + 7 > cpu.tr.limit) raise(cpu, kInvalidTss, index_of(cpu.tr.selector));
  return load_system<uint64_t>(cpu, cpu.tr.base + offset);
}

}  // namespace alcove::cpu::soft
