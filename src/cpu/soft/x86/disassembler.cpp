#include "cpu/soft/x86/disassembler.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <vector>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/encoding.h"

namespace alcove::cpu::soft {
namespace {

constexpr std::string_view kConditions[] = {"o", "no", "b", "nb", "z", "nz", "be", "nbe",
                                            "s", "ns", "p", "np", "l", "nl", "le", "nle"};
constexpr std::string_view kSegments[] = {"es", "cs", "ss", "ds", "fs", "gs", "?", "?"};
constexpr std::string_view kWordNames[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
constexpr std::string_view kByteNames[] = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};
constexpr std::string_view kRexByteNames[] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};

const CompiledRow* find_row(const Row* row) {
  const auto rows = compiled_rows();
  const auto found = std::ranges::find(rows, row, &CompiledRow::row);
  return found == rows.end() ? nullptr : &*found;
}

std::string register_name(unsigned number, unsigned size, bool rex) {
  if (number >= 8) {
    constexpr std::string_view suffixes[] = {"b", "w", "d", ""};
    return fmt::format("r{}{}", number, suffixes[std::countr_zero(size) & 3]);
  }
  switch (size) {
    case 1:
      return std::string(rex ? kRexByteNames[number] : kByteNames[number]);
    case 2:
      return std::string(kWordNames[number]);
    default:
      return fmt::format("{}{}", size == 4 ? 'e' : 'r', kWordNames[number]);
  }
}

std::string_view size_name(unsigned size) {
  switch (size) {
    case 1:
      return "byte ptr ";
    case 2:
      return "word ptr ";
    case 4:
      return "dword ptr ";
    case 8:
      return "qword ptr ";
    case 10:
      return "tbyte ptr ";
    case 16:
      return "xmmword ptr ";
    case 32:
      return "ymmword ptr ";
    default:
      return "";
  }
}

std::string signed_hex(int64_t value, bool first) {
  if (first) return fmt::format("{:#x}", static_cast<uint64_t>(value));
  return value < 0 ? fmt::format(" - {:#x}", -static_cast<uint64_t>(value)) : fmt::format(" + {:#x}", value);
}

// Vectors of other sizes than a register's, such as halves, are in XMM registers.
std::string vector_name(unsigned number, unsigned size) {
  return fmt::format("{}mm{}", size == 32 ? 'y' : 'x', number);
}

std::string memory(const Insn& insn, uint64_t address, unsigned size, bool explicit_segment,
                   bool vector_index = false) {
  std::string inside;
  if (insn.base == kRipRegister) {
    inside = fmt::format("rip = {:#x}", address - insn.offset + static_cast<uint64_t>(insn.displacement));
  } else {
    if (insn.base < 16) inside = register_name(insn.base, insn.address_size, false);
    if (insn.index < 16 || vector_index) {
      inside += fmt::format("{}{}", inside.empty() ? "" : " + ",
                            vector_index ? vector_name(insn.rm, insn.vector_size)
                                         : register_name(insn.index, insn.address_size, false));
      if (insn.scale != 0) inside += fmt::format("*{}", 1 << insn.scale);
    }
    if (insn.displacement != 0 || inside.empty()) inside += signed_hex(insn.displacement, inside.empty());
  }
  const std::string segment = explicit_segment ? fmt::format("{}:", kSegments[insn.segment & 7]) : "";
  return fmt::format("{}{}[{}]", size_name(size), segment, inside);
}

std::string format_operand(const Operand& operand, const Insn& insn, uint64_t address) {
  const unsigned size = size_of(operand, insn);
  const unsigned register_size = size == 0 ? insn.operand_size : size;
  const bool default_segment = insn.segment == 3 || (insn.segment == 2 && (insn.base == 4 || insn.base == 5));
  const auto register_or_memory = [&](const auto& name) {
    return insn.is_register ? std::string(name) : memory(insn, address, size, !default_segment);
  };
  switch (operand.kind) {
    case OperandKind::modrm_reg:
    case OperandKind::opcode_register:
      return register_name(insn.reg, register_size, insn.rex);
    case OperandKind::modrm_rm:
    case OperandKind::modrm_rm_reg:
    case OperandKind::memory:
      return register_or_memory(register_name(insn.rm, register_size, insn.rex));
    case OperandKind::immediate:
    case OperandKind::signed_byte: {
      const uint64_t mask =
          insn.operand_size == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * insn.operand_size) - 1;
      return fmt::format("{:#x}", operand.size == "b" && operand.kind == OperandKind::immediate
                                      ? insn.immediate & 0xff
                                      : insn.immediate & mask);
    }
    case OperandKind::relative:
      return fmt::format("{:#x}", address + insn.length + insn.immediate);
    case OperandKind::far_pointer:
      return fmt::format("{:#x}:{:#x}", insn.selector, insn.immediate);
    case OperandKind::moffs:
      return memory(insn, address, register_size, !default_segment);
    case OperandKind::segment:
      return std::string(kSegments[insn.reg & 7]);
    case OperandKind::control:
      return fmt::format("cr{}", insn.reg);
    case OperandKind::debug:
      return fmt::format("dr{}", insn.reg);
    case OperandKind::xmm_reg:
      return vector_name(insn.reg, size);
    case OperandKind::xmm_rm:
    case OperandKind::xmm_rm_reg:
      return register_or_memory(vector_name(insn.rm, size));
    case OperandKind::xmm_vvvv:
      return vector_name(insn.vvvv, size);
    case OperandKind::xmm_immediate:
      return vector_name(insn.immediate >> 4 & 15, size);
    case OperandKind::modrm_vector:
      return memory(insn, address, 0, !default_segment, true);
    case OperandKind::vvvv:
      return register_name(insn.vvvv, register_size, insn.rex);
    case OperandKind::mmx_reg:
      return fmt::format("mm{}", insn.reg & 7);
    case OperandKind::mmx_rm:
    case OperandKind::mmx_rm_reg:
      return register_or_memory(fmt::format("mm{}", insn.rm & 7));
    case OperandKind::string_source:
      return fmt::format("{}{}:[{}]", size_name(register_size), kSegments[insn.segment & 7],
                         register_name(6, insn.address_size, false));
    case OperandKind::string_target:
      return fmt::format("{}es:[{}]", size_name(register_size), register_name(7, insn.address_size, false));
    case OperandKind::fixed:
      return register_name(operand.number, register_size, false);
    case OperandKind::fixed_segment:
      return std::string(kSegments[operand.number & 7]);
    case OperandKind::fixed_xmm:
      return "xmm0";
    case OperandKind::x87_top:
      return "st(0)";
    case OperandKind::x87_rm:
      return fmt::format("st({})", insn.rm & 7);
    case OperandKind::one:
      return "1";
  }
  return "?";
}

}  // namespace

std::string full_mnemonic(const Insn& insn) {
  std::string name = mnemonic(insn);
  const std::string_view encoding = insn.row->encoding;
  if (encoding.find("+cc") != std::string_view::npos)
    return fmt::format("{}{}", name, kConditions[insn.opcode & 15]);
  if ((insn.row->flags & kRep) && name.ends_with('s')) {
    constexpr std::string_view suffixes[] = {"b", "w", "d", "q"};
    return fmt::format("{}{}", name, suffixes[std::countr_zero(insn.operand_size) & 3]);
  }
  if (name == "jcxz") return insn.address_size == 2 ? "jcxz" : insn.address_size == 4 ? "jecxz" : "jrcxz";
  return name;
}

std::string disassemble(const Insn& insn, uint64_t address) {
  const CompiledRow* row = insn.row ? find_row(insn.row) : nullptr;
  if (!row) return "(invalid)";
  std::string text = insn.lock ? "lock " : "";
  if (insn.row->flags & kRep) text += insn.repne ? "repne " : insn.rep ? "rep " : "";
  const std::string name = full_mnemonic(insn);
  text += name;
  if (name == "nop" || name == "pause") return text;
  std::string_view separator = " ";
  for (const Operand& operand : row->operands) {
    text += fmt::format("{}{}", separator, format_operand(operand, insn, address));
    separator = ", ";
  }
  return text;
}

}  // namespace alcove::cpu::soft
