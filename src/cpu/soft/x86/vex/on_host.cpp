#include "cpu/soft/x86/vex/on_host.h"

#include <string_view>
#include <vector>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/encoding.h"
#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/sse/upper_halves.h"
#include "cpu/soft/x86/vex/host_vector_unit.h"

namespace alcove::cpu::soft {
namespace {

using Field = HostVectorOperands::Field;

enum class File : uint8_t { none, vector, general };

// What a row's operands are.
struct Layout {
  HostVectorForm form;
  File reg = File::none, rm = File::none;
  bool selected = false;  // A register in the immediate byte.
  Field first = Field::kReg;
  Operand in_memory;  // ModRM.rm's operand.
  bool aligned = false;
  bool result_in_xmm0 = false, result_in_rcx = false;
};

bool is_aligned(const Row& row) {
  const std::string_view name = row.mnemonic;
  return !(row.flags & kAvx) || name == "vmovaps" || name == "vmovapd" || name == "vmovdqa" ||
         name.starts_with("vmovnt");
}

Layout make_layout(const CompiledRow& row) {
  Layout layout;
  const std::string_view name = row.row->mnemonic;
  const Pattern& pattern = row.pattern;
  layout.form.vex = is_vex(pattern.map);
  layout.form.map = static_cast<uint8_t>(
      static_cast<unsigned>(pattern.map) -
      static_cast<unsigned>(layout.form.vex ? OpcodeMap::vex_0f : OpcodeMap::two_byte) + 1);
  layout.form.mandatory = static_cast<uint8_t>(pattern.prefix == Prefix::operand_size ? 1
                                               : pattern.prefix == Prefix::f3         ? 2
                                               : pattern.prefix == Prefix::f2         ? 3
                                                                                      : 0);
  layout.form.uses_vvvv = row.uses_vvvv;
  layout.form.has_immediate = row.immediate != ImmediateRule::none;
  if (pattern.digit >= 0) layout.form.reg = static_cast<uint8_t>(pattern.digit);
  bool first = true;
  for (const Operand& operand : row.operands) {
    Field field = Field::kReg;
    switch (operand.kind) {
      case OperandKind::xmm_reg:
        layout.reg = File::vector;
        break;
      case OperandKind::modrm_reg:
        layout.reg = File::general;
        break;
      case OperandKind::xmm_vvvv:
        field = Field::kVvvv;
        break;
      case OperandKind::xmm_rm:
      case OperandKind::xmm_rm_reg:
      case OperandKind::memory:
        field = Field::kRm;
        layout.rm = File::vector;
        layout.in_memory = operand;
        break;
      case OperandKind::modrm_rm:
        field = Field::kRm;
        layout.rm = File::general;
        layout.in_memory = operand;
        break;
      case OperandKind::xmm_immediate:
        layout.selected = true;
        break;
      default:
        break;
    }
    if (first) layout.first = field;
    first = false;
  }
  layout.aligned = is_aligned(*row.row);
  layout.result_in_xmm0 = name.ends_with("strm");
  layout.result_in_rcx = name.ends_with("stri");
  return layout;
}

const Layout& layout_of(const Row& row) {
  static const auto layouts = [] {
    std::vector<Layout> all;
    for (const Row& each : vex_rows()) all.push_back(make_layout(*compile(each)));
    return all;
  }();
  return layouts[static_cast<size_t>(&row - vex_rows().data())];
}

template <class T>
void load_as(Cpu& cpu, uint64_t address, void* to) {
  const T value = load<T>(cpu, address);
  std::memcpy(to, &value, sizeof value);
}
template <class T>
void store_as(Cpu& cpu, uint64_t address, const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  store<T>(cpu, address, value);
}

struct alignas(16) Sixteen {
  std::array<uint64_t, 2> words;
};

void load_bytes(Cpu& cpu, uint64_t address, unsigned size, void* to) {
  switch (size) {
    case 1:
      return load_as<uint8_t>(cpu, address, to);
    case 2:
      return load_as<uint16_t>(cpu, address, to);
    case 4:
      return load_as<uint32_t>(cpu, address, to);
    case 8:
      return load_as<uint64_t>(cpu, address, to);
    case 16:
      return load_as<Sixteen>(cpu, address, to);
    default:
      return load_as<Ymm>(cpu, address, to);
  }
}
void store_bytes(Cpu& cpu, uint64_t address, unsigned size, const void* from) {
  switch (size) {
    case 1:
      return store_as<uint8_t>(cpu, address, from);
    case 2:
      return store_as<uint16_t>(cpu, address, from);
    case 4:
      return store_as<uint32_t>(cpu, address, from);
    case 8:
      return store_as<uint64_t>(cpu, address, from);
    case 16:
      return store_as<Sixteen>(cpu, address, from);
    default:
      return store_as<Ymm>(cpu, address, from);
  }
}

void load_registers(const Cpu& cpu, const Insn& insn, const Layout& layout, HostVectorOperands& operands) {
  const FpuState& fpu = cpu.fpu;
  operands.vectors = {};
  operands.vectors[Field::kImplicit] = read_ymm(fpu, 0);
  if (layout.reg == File::vector) operands.vectors[Field::kReg] = read_ymm(fpu, insn.reg);
  if (layout.form.uses_vvvv) operands.vectors[Field::kVvvv] = read_ymm(fpu, insn.vvvv);
  if (layout.rm == File::vector && insn.is_register) operands.vectors[Field::kRm] = read_ymm(fpu, insn.rm);
  if (layout.selected) {
    const unsigned mask = cpu.in_64bit() ? 15 : 7;
    operands.vectors[Field::kSelected] = read_ymm(fpu, insn.immediate >> 4 & mask);
  }
  operands.general = {cpu.gpr[rax], layout.reg == File::general ? cpu.gpr[insn.reg] : 0, cpu.gpr[rdx],
                      layout.rm == File::general && insn.is_register ? cpu.gpr[insn.rm] : 0};
  operands.flags = cpu.flags.arithmetic_bits();
}

void commit(Cpu& cpu, const Insn& insn, const Layout& layout, const HostVectorOperands& results) {
  FpuState& fpu = cpu.fpu;
  if (insn.row->effects.written) cpu.flags.set_arithmetic_bits(static_cast<uint32_t>(results.flags));
  if (layout.result_in_rcx) {
    cpu.gpr[rcx] = results.general[Field::kReg];
  } else if (layout.result_in_xmm0) {
    write_ymm(fpu, 0, results.vectors[Field::kImplicit]);
  } else if (layout.first == Field::kVvvv) {
    write_ymm(fpu, insn.vvvv, results.vectors[Field::kVvvv]);
  } else if (layout.first == Field::kReg) {
    if (layout.reg == File::general)
      cpu.gpr[insn.reg] = results.general[Field::kReg];
    else
      write_ymm(fpu, insn.reg, results.vectors[Field::kReg]);
  } else if (insn.is_register) {
    if (layout.rm == File::general)
      cpu.gpr[insn.rm] = results.general[Field::kRm];
    else
      write_ymm(fpu, insn.rm, results.vectors[Field::kRm]);
  }
}

}  // namespace

void execute_on_host(Cpu& cpu, const Insn& insn) {
  const Layout& layout = layout_of(*insn.row);
  const bool general = layout.reg == File::general || layout.rm == File::general || layout.result_in_xmm0 ||
                       layout.result_in_rcx;
  HostVectorForm form = layout.form;
  form.opcode = insn.opcode;
  form.l = insn.vector_size == 32;
  // REX.W and VEX.W say nothing about general registers outside 64-bit mode.
  form.w = general ? insn.operand_size == 8 : insn.wide;
  form.memory = !insn.is_register;
  form.immediate = static_cast<uint8_t>(insn.immediate);
  if (layout.selected) form.immediate = Field::kSelected << 4;

  HostVectorOperands operands;
  uint64_t address = 0;
  const unsigned size = form.memory ? size_of(layout.in_memory, insn) : 0;
  const bool stores = form.memory && layout.first == Field::kRm;
  if (form.memory) {
    address = linear_address(cpu, insn, size, stores);
    if (layout.aligned && address % size != 0) raise(cpu, kGeneralProtection, 0);
    if (stores)
      probe_write(cpu, address, size);
    else
      load_bytes(cpu, address, size, operands.memory.data());
  }
  load_registers(cpu, insn, layout, operands);

  HostVectorOperands results;
  const bool done = under_mxcsr(cpu, [&] {
    results = operands;
    return run_on_host(form, results);
  });
  if (!done) raise(cpu, kInvalidOpcode);
  if (stores)
    store_bytes(cpu, address, size, results.memory.data());
  else
    commit(cpu, insn, layout, results);
}

}  // namespace alcove::cpu::soft
