#include "cpu/soft/translator/listing.h"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "cpu/soft/translator/host_layout.h"
#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/disassembler.h"

namespace alcove::cpu::soft {
namespace {

constexpr const char* kRegisters[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

// What is at gs:[displacement].
std::optional<std::string> name_of(uint64_t displacement) {
  static const auto names = [] {
    std::map<uint64_t, std::string> map;
    for (unsigned i = 0; i < 16; ++i)
      map[static_cast<uint64_t>(gpr_slot(i).displacement)] = fmt::format("guest's {}", kRegisters[i]);
    const auto add = [&map](const HostMemory& member, std::string name) {
      map[static_cast<uint64_t>(member.displacement)] = std::move(name);
    };
    add(ALCOVE_CPU_MEMBER(attention), "attention");
    constexpr const char* kSegments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    for (unsigned i = 0; i < 6; ++i)
      map[offsetof(Cpu, segment_base) + 8 * i] = fmt::format("guest's {} base", kSegments[i]);
    add(ALCOVE_CPU_MEMBER(fpu.upper_in_use), "upper halves in use");
    add(ALCOVE_TRANSLATED(page), "page");
    add(ALCOVE_TRANSLATED(target), "target");
    add(ALCOVE_TRANSLATED(saved), "saved");
    add(ALCOVE_TRANSLATED(other_returns), "other returns");
    add(ALCOVE_TRANSLATED(return_site), "return site");
    add(ALCOVE_TRANSLATED(lower_pages), "lower pages");
    add(ALCOVE_TRANSLATED(all_pages), "all pages");
    add(ALCOVE_TRANSLATED(window), "window");
    add(ALCOVE_TRANSLATED(upper_jump), "upper jump");
    add(ALCOVE_TRANSLATED(in_page), "in page");
    add(ALCOVE_TRANSLATED(sign), "sign");
    add(ALCOVE_TRANSLATED(shadow), "shadow");
    add(ALCOVE_TRANSLATED(not_canonical), "not canonical");
    add(ALCOVE_TRANSLATED(arithmetic), "arithmetic");
    add(ALCOVE_TRANSLATED(interrupts), "interrupts");
    add(ALCOVE_TRANSLATED(no_interrupts), "no interrupts");
    add(ALCOVE_TRANSLATED(upwards), "upwards");
    add(ALCOVE_TRANSLATED(cr4_tsd), "CR4.TSD");
    add(ALCOVE_TRANSLATED(cr4_fsgsbase), "CR4.FSGSBASE");
    add(ALCOVE_TRANSLATED(fast_calls), "fast calls");
    add(ALCOVE_TRANSLATED(changed_level), "changed level");
    add(ALCOVE_CPU_MEMBER(tlb), "TLB");
    add(ALCOVE_CPU_MEMBER(cpl), "guest's CPL");
    add(ALCOVE_CPU_MEMBER(lstar), "guest's lstar");
    add(ALCOVE_CPU_MEMBER(sfmask), "guest's sfmask");
    add(system_flags(), "guest's system flags");
    add(ALCOVE_CPU_MEMBER(apic), "APIC");
    add(ALCOVE_CPU_MEMBER(cr0), "guest's cr0");
    add(ALCOVE_CPU_MEMBER(cr2), "guest's cr2");
    add(ALCOVE_CPU_MEMBER(cr3), "guest's cr3");
    add(ALCOVE_CPU_MEMBER(cr4), "guest's cr4");
    add(ALCOVE_CPU_MEMBER(tsc_offset), "TSC offset");
    add(ALCOVE_CPU_MEMBER(tsc_aux), "guest's tsc_aux");
    add(ALCOVE_CPU_MEMBER(kernel_gs_base), "guest's kernel_gs_base");
    add(ALCOVE_CPU_MEMBER(interrupt_shadow), "interrupt shadow");
    for (unsigned i = 0; i < 6; ++i) {
      map[offsetof(Cpu, segments) + sizeof(Segment) * i] = fmt::format("guest's {}", kSegments[i]);
      map[offsetof(Cpu, segments) + sizeof(Segment) * i + offsetof(SegmentRegister, base)] =
          fmt::format("guest's {} descriptor base", kSegments[i]);
    }
    for (unsigned i = 0; i < 6; ++i)
      map[offsetof(Cpu, translated) + offsetof(TranslatedState, low_bits) + 8 * i] =
          fmt::format("{} low bits", i + 1);
    return map;
  }();
  const auto found = names.find(displacement);
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

// Puts names into "gs:[0x740]".
std::string with_names(std::string text) {
  const size_t begin = text.find("gs:[0x");
  if (begin == std::string::npos) return text;
  const size_t end = text.find(']', begin);
  const uint64_t displacement = std::strtoull(text.c_str() + begin + 4, nullptr, 16);
  if (const auto name = name_of(displacement)) text.replace(begin + 4, end - begin - 4, *name);
  return text;
}

struct Line {
  size_t offset = 0;
  std::string text;
  std::optional<const uint8_t*> target;  // Of a branch.
};

// PEXT, of which the code is full, in short.
std::optional<std::string> as_pext(std::span<const uint8_t> code) {
  constexpr size_t kLength = 11;
  if (code.size() < kLength || code[0] != 0x65 || code[1] != 0xc4 || code[4] != 0xf5) return {};
  uint32_t mask;
  std::memcpy(&mask, code.data() + 7, sizeof mask);
  const unsigned to = (code[5] >> 3 & 7) | (code[2] & 0x80 ? 0 : 8);
  const unsigned from = ~(code[3] >> 3) & 15;
  return with_names(fmt::format("pext {}, {}, gs:[{:#x}]", kRegisters[to], kRegisters[from], mask));
}

std::vector<Line> read_lines(const HostListing& listing) {
  std::vector<Line> lines;
  for (size_t at = 0; at < listing.listed;) {
    const auto code = listing.code.subspan(at);
    Line line{.offset = at};
    Insn insn;
    if (const auto pext = as_pext(code)) {
      line.text = *pext;
      at += 11;
    } else if (decode(code, CodeMode::bits64, 0, insn) == DecodeError::none) {
      const uint8_t* const here = listing.address + at;
      if (insn.row->flags & kBranch) {
        line.text = full_mnemonic(insn);
        line.target = here + insn.displacement;
      } else if (insn.base == kRipRegister) {
        line.text = fmt::format("{} {}, [site]", full_mnemonic(insn), kRegisters[insn.reg]);
      } else {
        line.text = with_names(disassemble(insn));
      }
      at += insn.length;
    } else {
      line.text = fmt::format("byte {:#04x}", code[0]);
      ++at;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace

std::string list_guest_code(const Block& block, uint64_t address) {
  std::string text;
  const auto* const instructions = reinterpret_cast<const Insn*>(&block + 1);
  for (unsigned i = 0; i < block.count; ++i)
    text += fmt::format("    {}\n", disassemble(instructions[i], address + instructions[i].offset));
  return text;
}

std::string list_host_code(const HostListing& listing, const CommonCode& common) {
  const std::vector<Line> lines = read_lines(listing);
  std::map<const uint8_t*, std::string> labels;
  for (const Line& line : lines) labels.emplace(listing.address + line.offset, "");
  std::map<const uint8_t*, std::string> places = {{common.enter, "(enter)"},
                                                  {common.run_handler, "(run handler)"},
                                                  {common.leave, "(leave)"},
                                                  {common.return_elsewhere[0], "(return elsewhere)"},
                                                  {common.return_elsewhere[1], "(return elsewhere)"}};
  for (const bool user : {false, true}) {
    places[common.find_place[user]] = "(find place)";
    places[common.indirect_miss[user]] = "(indirect miss)";
    places[common.far_miss[user]] = "(far miss)";
  }
  for (const Line& line : lines)
    if (line.target && labels.contains(*line.target)) places[*line.target] = "";
  unsigned number = 0;
  for (auto& [address, name] : places)
    if (name.empty()) name = fmt::format("{}", ++number);

  std::string text;
  for (const Line& line : lines) {
    const uint8_t* const address = listing.address + line.offset;
    if (const auto label = places.find(address); label != places.end())
      text += fmt::format("{}:\n", label->second);
    text += listing.with_addresses
                ? fmt::format("  {:#x}  {}", reinterpret_cast<uint64_t>(address), line.text)
                : fmt::format("    {}", line.text);
    if (line.target) {
      const auto place = places.find(*line.target);
      const bool inside =
          *line.target >= listing.address && *line.target < listing.address + listing.code.size();
      text += place != places.end() ? " " + place->second : inside ? " (stub)" : " (another block)";
    }
    text += "\n";
  }
  return text;
}

}  // namespace alcove::cpu::soft
