#include "cpu/soft/translator/plan.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/encoding.h"
#include "cpu/soft/x86/flags.h"
#include "cpu/soft/x86/host_features.h"

namespace alcove::cpu::soft {
namespace {

using Names = std::string_view;

template <size_t kCount>
bool among(const std::array<Names, kCount>& names, Names name) {
  return std::ranges::find(names, name) != names.end();
}

// General instructions that mean the same to the host with its own registers.
constexpr std::array kPlain{Names("add"),        Names("adc"),
                            Names("sub"),        Names("sbb"),
                            Names("and"),        Names("or"),
                            Names("xor"),        Names("cmp"),
                            Names("test"),       Names("not"),
                            Names("neg"),        Names("inc"),
                            Names("dec"),        Names("mov"),
                            Names("movnti"),     Names("movzx"),
                            Names("movsx"),      Names("movsxd"),
                            Names("cmov"),       Names("set"),
                            Names("rol"),        Names("ror"),
                            Names("rcl"),        Names("rcr"),
                            Names("shl"),        Names("shr"),
                            Names("sar"),        Names("shld"),
                            Names("shrd"),       Names("bt"),
                            Names("bts"),        Names("btr"),
                            Names("btc"),        Names("bsf"),
                            Names("bsr"),        Names("popcnt"),
                            Names("crc32"),      Names("tzcnt"),
                            Names("lzcnt"),      Names("movbe"),
                            Names("adcx"),       Names("adox"),
                            Names("xchg"),       Names("xadd"),
                            Names("cmpxchg"),    Names("cmpxchg8b|cmpxchg8b|cmpxchg16b"),
                            Names("bswap"),      Names("mul"),
                            Names("imul"),       Names("clc"),
                            Names("stc"),        Names("cmc"),
                            Names("lahf"),       Names("sahf"),
                            Names("lfence"),     Names("mfence"),
                            Names("sfence"),     Names("cbw|cwde|cdqe"),
                            Names("cwd|cdq|cqo")};

// SSE instructions that use registers implicitly which are elsewhere on the host, or MXCSR as a whole.
constexpr std::array kNotPlainSse{Names("ldmxcsr"), Names("stmxcsr"), Names("fxsave"), Names("fxrstor"),
                                  Names("maskmovdqu")};
// Those whose elements fault on their own, or that use MXCSR as a whole or registers implicitly.
constexpr std::array kNotPlainVex{Names("vldmxcsr"),   Names("vstmxcsr"),   Names("vmaskmovdqu"),
                                  Names("vmaskmovps"), Names("vmaskmovpd"), Names("vpmaskmovd"),
                                  Names("vpmaskmovq")};
constexpr std::array kAlignedVex{Names("vmovaps"),  Names("vmovapd"),  Names("vmovdqa"),  Names("vmovntps"),
                                 Names("vmovntpd"), Names("vmovntdq"), Names("vmovntdqa")};
constexpr std::array kNothing{Names("nop"),        Names("prefetch"),   Names("prefetchnta"),
                              Names("prefetcht0"), Names("prefetcht1"), Names("prefetcht2"),
                              Names("endbr64"),    Names("endbr32")};
constexpr std::array kReadOnly{Names("cmp"),      Names("test"),    Names("bt"),      Names("vptest"),
                               Names("vtestps"),  Names("vtestpd"), Names("vcomiss"), Names("vcomisd"),
                               Names("vucomiss"), Names("vucomisd")};
constexpr std::array kResultInRcx{Names("pcmpestri"), Names("pcmpistri"), Names("vpcmpestri"),
                                  Names("vpcmpistri")};
constexpr std::array kGoOn{Names("sti"), Names("popf|popfd|popfq"), Names("serialize")};
constexpr std::array kUnaligned{Names("pcmpestri"), Names("pcmpistri"), Names("movups"),
                                Names("movupd"),    Names("movdqu"),    Names("lddqu"),
                                Names("pcmpestrm"), Names("pcmpistrm")};
struct SystemWay {
  Names mnemonic;
  Names encoding;
  Way way;
};
constexpr std::array kSystem{SystemWay{"cli", "FA", Way::clear_interrupt_flag},
                             SystemWay{"sti", "FB", Way::set_interrupt_flag},
                             SystemWay{"cld", "FC", Way::clear_direction_flag},
                             SystemWay{"pushf|pushfd|pushfq", "9C", Way::push_flags},
                             SystemWay{"swapgs", "0F 01 F8", Way::swap_gs},
                             SystemWay{"serialize", "NP 0F 01 E8", Way::serialize},
                             SystemWay{"rdfsbase", "F3 0F AE /0 reg", Way::read_fs_base},
                             SystemWay{"rdgsbase", "F3 0F AE /1 reg", Way::read_gs_base},
                             SystemWay{"wrfsbase", "F3 0F AE /2 reg", Way::write_fs_base},
                             SystemWay{"wrgsbase", "F3 0F AE /3 reg", Way::write_gs_base},
                             SystemWay{"rdtsc", "0F 31", Way::read_time},
                             SystemWay{"rdtscp", "0F 01 F9", Way::read_time_and_processor},
                             SystemWay{"mov", "0F 20 /r", Way::read_control},
                             SystemWay{"mov", "8C /r", Way::read_selector},
                             SystemWay{"syscall", "0F 05", Way::system_call},
                             SystemWay{"sysret", "0F 07", Way::system_return}};
constexpr std::array kRotates{Names("rol"), Names("ror"), Names("rcl"), Names("rcr")};
constexpr std::array kShifts{Names("shl"), Names("shr"), Names("sar"), Names("shld"), Names("shrd")};

uint8_t immediate_size(ImmediateRule rule, bool& possible) {
  switch (rule) {
    case ImmediateRule::none:
      return 0;
    case ImmediateRule::byte:
    case ImmediateRule::signed_byte:
      return 1;
    case ImmediateRule::word:
      return 2;
    case ImmediateRule::z:
      return kBySize;
    case ImmediateRule::v:
      return kWhole;
    default:
      possible = false;
      return 0;
  }
}

// Bytes of a memory operand by the letters of its size; 0: not known here.
uint8_t memory_size(Names size, bool vex) {
  if (size == "b") return 1;
  if (size == "w") return 2;
  if (size == "d" || size == "ss") return 4;
  if (size == "q" || size == "sd" || size == "pi") return 8;
  if (vex && size == "x") return kVector;
  if (size == "xh") return kHalfVector;
  if (size == "xf") return kFourthVector;
  if (size == "xe") return kEighthVector;
  if (size == "qq") return 32;
  if (size == "x" || size == "dq" || size == "ps" || size == "pd" || size == "o") return 16;
  if (size == "v" || size == "y" || size == "z") return kBySize;
  if (size == "m") return kPair;
  return 0;
}

Way special_way(const Row& row) {
  const Names name = row.mnemonic, encoding = row.encoding;
  if (name == "lea") return Way::lea;
  if (name == "push" && encoding == "50+r") return Way::push_register;
  if (name == "push" && (encoding == "68" || encoding == "6A")) return Way::push_immediate;
  if (name == "push" && encoding == "FF /6") return Way::push_memory;
  if (name == "pop" && encoding == "58+r") return Way::pop_register;
  if (name == "leave") return Way::leave;
  if ((name == "div" || name == "idiv") && encoding.starts_with("F7")) return Way::divide;
  if (name == "movs") return Way::repeat_movs;
  if (name == "stos") return Way::repeat_stos;
  if (name == "call" && encoding == "E8") return Way::call_relative;
  if (name == "call" && encoding == "FF /2") return Way::call_indirect;
  if (name == "jmp" && (encoding == "EB" || encoding == "E9")) return Way::jump_relative;
  if (name == "jmp" && encoding == "FF /4") return Way::jump_indirect;
  if (name == "j") return Way::jump_if;
  if (name == "jcxz" || name == "loop") return Way::jump_if_counted;
  if (name == "ret" && (encoding == "C3" || encoding == "C2")) return Way::near_return;
  if (among(kNothing, name)) return Way::nothing;
  for (const auto& [mnemonic, opcode, way] : kSystem)
    if (name == mnemonic && encoding == opcode) return way;
  return Way::handler;
}

void add_operand(Plan& plan, const Operand& operand, bool first, bool vex, bool& possible) {
  switch (operand.kind) {
    case OperandKind::modrm_reg:
      plan.reg = Role::general;
      break;
    case OperandKind::opcode_register:
      plan.reg = Role::general;
      plan.opcode_register = true;
      break;
    case OperandKind::xmm_reg:
      plan.reg = Role::vector;
      break;
    case OperandKind::modrm_rm:
    case OperandKind::modrm_rm_reg:
    case OperandKind::memory:
      plan.rm = Role::general;
      plan.rm_first = first;
      plan.memory_size = memory_size(operand.size, vex);
      break;
    case OperandKind::xmm_rm:
    case OperandKind::xmm_rm_reg:
      plan.rm = Role::vector;
      plan.rm_first = first;
      plan.memory_size = memory_size(operand.size, vex);
      break;
    case OperandKind::xmm_vvvv:
      plan.vvvv = Role::vector;
      plan.vvvv_first = first;
      break;
    case OperandKind::vvvv:
      plan.vvvv = Role::general;
      plan.vvvv_first = first;
      break;
    case OperandKind::fixed:
      // The accumulator is where it is; CL, as a count, is not.
      if (operand.number == 1) plan.count_in_cl = true;
      if (operand.number > 1) possible = false;
      break;
    case OperandKind::immediate:
    case OperandKind::signed_byte:
    case OperandKind::one:
    case OperandKind::fixed_xmm:
    case OperandKind::xmm_immediate:
      break;
    default:
      possible = false;
  }
}

// What the interpreter does without the host's help (cpuid.h), translated code may not.
bool host_has_row(const Row& row) {
  const auto features = cpu_features();
  const auto found = std::ranges::find_if(features, [&row](const CpuFeature& feature) {
    return row.feature && std::string_view(feature.name) == row.feature;
  });
  return found == features.end() || !found->of_host || host_has(found->name);
}

Plan make_plan(const CompiledRow& compiled) {
  const Row& row = *compiled.row;
  const Names name = row.mnemonic;
  const bool vex = is_vex(compiled.pattern.map);
  Plan plan;
  plan.way = special_way(row);
  plan.kills = (row.effects.written | row.effects.undefined) & kArithmeticFlags;
  if (plan.way == Way::system_call) plan.kills = 0;  // R11 gets the flags before they change.
  bool possible = true;
  plan.immediate = immediate_size(compiled.immediate, possible);
  for (size_t i = 0; i < compiled.operands.size(); ++i)
    add_operand(plan, compiled.operands[i], i == 0, vex, possible);
  plan.goes_on = among(kGoOn, name);
  plan.shifts = among(kShifts, name);
  plan.rotates = among(kRotates, name);
  plan.sse = row.flags & kSse;
  plan.avx = row.flags & kAvx;
  plan.reads = plan.way == Way::serialize ? kArithmeticFlags : row.effects.read;  // It may leave.
  plan.locks = name == "xchg";
  if (plan.way != Way::handler) return plan;

  constexpr uint32_t kNotPlain =
      kEndsBlock | kStops | kBranch | kRep | kPrivileged | kX87 | kMmx | kProtected;
  const bool plain = row.flags & kSse ? !among(kNotPlainSse, name) : among(kPlain, name);
  if (!possible || !host_has_row(row)) return plan;
  if (vex ? among(kNotPlainVex, name) : !plain || (row.flags & kNotPlain)) return plan;
  plan.way = vex ? Way::vex : Way::plain;
  const OpcodeMap first = vex ? OpcodeMap::vex_0f : OpcodeMap::two_byte;
  plan.map = static_cast<uint8_t>(static_cast<int>(compiled.pattern.map) - static_cast<int>(first) + 1);
  plan.mandatory = compiled.pattern.prefix == Prefix::f3   ? 0xf3
                   : compiled.pattern.prefix == Prefix::f2 ? 0xf2
                                                           : 0;
  plan.mandatory_operand_size = compiled.pattern.prefix == Prefix::operand_size;
  plan.writes_first = !among(kReadOnly, name);
  // Products of one operand are in RDX and RAX.
  if ((name == "mul" || name == "imul") && plan.rm_first) plan.writes_first = false;
  plan.writes_second = name == "xchg" || name == "xadd" || name == "mulx";
  if (vex) plan.aligned = among(kAlignedVex, name);
  plan.zeroes_upper = name == "vzeroupper" || name == "vzeroall";
  if (!vex) plan.aligned = (row.flags & kSse) && plan.memory_size == 16 && !among(kUnaligned, name);
  plan.result_in_rcx = among(kResultInRcx, name);
  plan.exchanges_pair = name.starts_with("cmpxchg8b");
  plan.string_indexed = name.starts_with("bt") && Names(row.encoding).ends_with("/r");
  return plan;
}

}  // namespace

const Plan& plan_of(const Row& row) {
  struct Group {
    const Row* begin;
    size_t count;
    const Plan* plans;
  };
  // The compiled rows are those of the groups in turn.
  static const auto groups = [] {
    static std::vector<Plan> all;
    for (const CompiledRow& compiled : compiled_rows()) all.push_back(make_plan(compiled));
    std::array<Group, 5> made{};
    const Plan* plans = all.data();
    size_t number = 0;
    for (const auto rows : {general_rows(), sse_rows(), vex_rows(), system_rows(), x87_rows()}) {
      const auto first = std::ranges::find(compiled_rows(), rows.data(), &CompiledRow::row);
      made[number++] = {rows.data(), rows.size(), plans + (first - compiled_rows().begin())};
    }
    return made;
  }();
  static const Plan none;
  for (const Group& group : groups) {
    const size_t distance = reinterpret_cast<uintptr_t>(&row) - reinterpret_cast<uintptr_t>(group.begin);
    if (distance < group.count * sizeof(Row)) return group.plans[distance / sizeof(Row)];
  }
  return none;
}

bool goes_on(const Insn& insn) {
  return !(insn.row->flags & (kEndsBlock | kStops | kBranch)) || plan_of(*insn.row).goes_on;
}

bool is_byte_reg(const Plan& plan, const Insn& insn) {
  return plan.reg == Role::general && insn.operand_size == 1;
}

bool is_byte_rm(const Plan& plan, const Insn& insn) {
  // MOVZX and MOVSX have a byte in ModRM.rm only.
  return plan.rm == Role::general && insn.is_register && (insn.operand_size == 1 || plan.memory_size == 1);
}

bool is_high_byte_reg(const Plan& plan, const Insn& insn) {
  return is_byte_reg(plan, insn) && insn.reg_byte % 8 == 1;
}

bool is_high_byte_rm(const Plan& plan, const Insn& insn) {
  return is_byte_rm(plan, insn) && insn.rm_byte % 8 == 1;
}

StackUse stack_use(const Plan& plan) {
  switch (plan.way) {
    case Way::push_register:
    case Way::push_immediate:
    case Way::push_memory:
    case Way::push_flags:
    case Way::call_relative:
    case Way::call_indirect:
      return StackUse::push;
    case Way::pop_register:
    case Way::near_return:
      return StackUse::pop;
    case Way::leave:
      return StackUse::frame;
    case Way::repeat_movs:
    case Way::repeat_stos:
      return StackUse::destination;
    default:
      return StackUse::none;
  }
}

OperandUse operand_use(const Plan& plan, const Insn& insn) {
  if (plan.way == Way::repeat_movs) return OperandUse::source;
  if (insn.is_register || (plan.rm == Role::none && insn.modrm == 0)) return OperandUse::none;
  return plan.string_indexed ? OperandUse::bit_string : OperandUse::plain;
}

uint16_t killed_flags(const Plan& plan, const Insn& insn) {
  if (plan.kills == 0) return 0;
  if (plan.count_in_cl) return 0;
  if (plan.shifts && plan.immediate == 1 && (insn.immediate & (insn.operand_size == 8 ? 63 : 31)) == 0)
    return 0;
  // Rotates by an immediate of 0 change nothing either; what they write is not all, so they never matter.
  if (plan.rotates) return 0;
  return plan.kills;
}

}  // namespace alcove::cpu::soft
