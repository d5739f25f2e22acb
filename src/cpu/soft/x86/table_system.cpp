// The rows of segments, far transfers, system registers and ports.
#include "cpu/soft/x86/row.h"
#include "cpu/soft/x86/system/handlers.h"

namespace alcove::cpu::soft {
namespace {

template <Handler handler>
Handler always(const Insn&) {
  return handler;
}

constexpr uint32_t kEnds = kEndsBlock | kNoTest;
constexpr uint32_t kJumps = kEndsBlock | kStops | kNoTest;
constexpr FlagEffects kZero{.written = kZf};

const Row kRows[] = {
    // Segment registers
    {"mov", "8C /r", "Ev, Sw", always<move_from_segment>, kNoTest},
    {"mov", "8E /r", "Sw, Ew", always<move_to_segment>, kEnds},
    {"push", "06", "ES", always<push_segment>, kNo64 | kNoTest},
    {"push", "0E", "CS", always<push_segment>, kNo64 | kNoTest},
    {"push", "16", "SS", always<push_segment>, kNo64 | kNoTest},
    {"push", "1E", "DS", always<push_segment>, kNo64 | kNoTest},
    {"push", "0F A0", "FS", always<push_segment>, kDefault64 | kNoTest},
    {"push", "0F A8", "GS", always<push_segment>, kDefault64 | kNoTest},
    {"pop", "07", "ES", always<pop_segment>, kNo64 | kEnds},
    {"pop", "17", "SS", always<pop_segment>, kNo64 | kEnds},
    {"pop", "1F", "DS", always<pop_segment>, kNo64 | kEnds},
    {"pop", "0F A1", "FS", always<pop_segment>, kDefault64 | kEnds},
    {"pop", "0F A9", "GS", always<pop_segment>, kDefault64 | kEnds},
    {"les", "C4 /r mem", "Gv, Mp", always<load_far_pointer>, kNo64 | kEnds},
    {"lds", "C5 /r mem", "Gv, Mp", always<load_far_pointer>, kNo64 | kEnds},
    {"lss", "0F B2 /r mem", "Gv, Mp", always<load_far_pointer>, kEnds},
    {"lfs", "0F B4 /r mem", "Gv, Mp", always<load_far_pointer>, kEnds},
    {"lgs", "0F B5 /r mem", "Gv, Mp", always<load_far_pointer>, kEnds},

    // Descriptors
    {"sldt", "0F 00 /0", "Ev", always<store_ldt>, kProtected | kNoTest},
    {"str", "0F 00 /1", "Ev", always<store_task>, kProtected | kNoTest},
    {"lldt", "0F 00 /2", "Ew", always<load_ldt>, kProtected | kPrivileged | kNoTest},
    {"ltr", "0F 00 /3", "Ew", always<load_task>, kProtected | kPrivileged | kNoTest},
    {"verr", "0F 00 /4", "Ew", always<verify_read>, kProtected | kNoTest, kZero},
    {"verw", "0F 00 /5", "Ew", always<verify_write>, kProtected | kNoTest, kZero},
    {"lar", "0F 02 /r", "Gv, Ew", always<load_access_rights>, kProtected | kNoTest, kZero},
    {"lsl", "0F 03 /r", "Gv, Ew", always<load_segment_limit>, kProtected | kNoTest, kZero},
    {"arpl", "63 /r", "Ew, Gw", always<adjust_rpl>, kNo64 | kProtected | kNoTest, kZero},
    {"sgdt", "0F 01 /0 mem", "M", always<store_gdt>, kNoTest},
    {"sidt", "0F 01 /1 mem", "M", always<store_idt>, kNoTest},
    {"lgdt", "0F 01 /2 mem", "M", always<load_gdt>, kPrivileged | kNoTest},
    {"lidt", "0F 01 /3 mem", "M", always<load_idt>, kPrivileged | kNoTest},

    // Far transfers
    {"call", "9A", "Ap", always<call_far_direct>, kNo64 | kJumps},
    {"call", "FF /3 mem", "Mp", always<call_far_indirect>, kJumps},
    {"jmp", "EA", "Ap", always<jump_far_direct>, kNo64 | kJumps},
    {"jmp", "FF /5 mem", "Mp", always<jump_far_indirect>, kJumps},
    {"retf", "CA", "Iw", always<return_far>, kJumps},
    {"retf", "CB", "", always<return_far>, kJumps},

    // Interrupts
    {"int3", "CC", "", always<interrupt_3>, kJumps},
    {"int", "CD", "Ib", always<interrupt_n>, kJumps},
    {"into", "CE", "", always<interrupt_overflow>, kNo64 | kEnds, {.read = kOf}},
    {"int1", "F1", "", always<interrupt_1>, kJumps},
    {"iret|iretd|iretq", "CF", "", always<return_from_interrupt>, kJumps, {.written = kArithmeticFlags}},
    {"cli", "FA", "", always<clear_interrupt_flag>, kNoTest},
    {"sti", "FB", "", always<set_interrupt_flag>, kEnds},
    {"hlt", "F4", "", always<halt>, kPrivileged | kJumps},

    // Fast calls and the bases that go with them
    {"syscall", "0F 05", "", always<system_call>, kJumps, {.written = kArithmeticFlags}, "syscall"},
    {"sysret",
     "0F 07",
     "",
     always<system_return>,
     kPrivileged | kJumps,
     {.written = kArithmeticFlags},
     "syscall"},
    {"sysenter", "0F 34", "", always<system_enter>, kJumps, {}, "sep"},
    {"sysexit", "0F 35", "", always<system_exit>, kPrivileged | kJumps, {}, "sep"},
    {"swapgs", "0F 01 F8", "", always<swap_gs>, kOnly64 | kPrivileged | kNoTest},
    {"rdfsbase", "F3 0F AE /0 reg", "Ry", always<read_fs_base>, kOnly64 | kNoTest, {}, "fsgsbase"},
    {"rdgsbase", "F3 0F AE /1 reg", "Ry", always<read_gs_base>, kOnly64 | kNoTest, {}, "fsgsbase"},
    {"wrfsbase", "F3 0F AE /2 reg", "Ry", always<write_fs_base>, kOnly64 | kNoTest, {}, "fsgsbase"},
    {"wrgsbase", "F3 0F AE /3 reg", "Ry", always<write_gs_base>, kOnly64 | kNoTest, {}, "fsgsbase"},

    // Control and debug registers
    {"mov", "0F 20 /r", "Rv, Cd", always<read_control>, kForce64 | kPrivileged | kNoTest},
    {"mov", "0F 21 /r", "Rv, Dd", always<read_debug>, kForce64 | kPrivileged | kNoTest},
    {"mov", "0F 22 /r", "Cd, Rv", always<write_control>, kForce64 | kPrivileged | kEnds},
    {"mov", "0F 23 /r", "Dd, Rv", always<write_debug>, kForce64 | kPrivileged | kEnds},
    {"clts", "0F 06", "", always<clear_task_switched>, kPrivileged | kEnds},
    {"smsw", "0F 01 /4", "Ev", always<store_machine_status>, kNoTest},
    {"lmsw", "0F 01 /6", "Ew", always<load_machine_status>, kPrivileged | kEnds},
    {"invlpg", "0F 01 /7 mem", "Mb", always<invalidate_page>, kPrivileged | kEnds},
    {"invpcid",
     "66 0F 38 82 /r mem",
     "Gy, Mdq",
     always<invalidate_pcid>,
     kPrivileged | kProtected | kEnds,
     {},
     "invpcid"},
    {"invd", "0F 08", "", always<invalidate_caches>, kPrivileged | kNoTest},
    {"wbinvd", "0F 09", "", always<invalidate_caches>, kPrivileged | kNoTest},

    // The processor model
    {"wrmsr", "0F 30", "", always<write_msr_instruction>, kPrivileged | kEnds, {}, "msr"},
    {"rdtsc", "0F 31", "", always<read_tsc>, kNoTest, {}, "tsc"},
    {"rdmsr", "0F 32", "", always<read_msr_instruction>, kPrivileged | kNoTest, {}, "msr"},
    {"rdpmc", "0F 33", "", always<read_counter>, kNoTest},
    {"cpuid", "0F A2", "", always<identify>, kNoTest},
    {"rdtscp", "0F 01 F9", "", always<read_tsc_and_processor>, kNoTest, {}, "rdtscp"},
    {"rdpid", "F3 0F C7 /7 reg", "Rq", always<read_processor>, kNoTest, {}, "rdpid"},
    {"vmcall", "0F 01 C1", "", always<hypervisor_call>, kNoTest},
    {"vmmcall", "0F 01 D9", "", always<hypervisor_call>, kNoTest},

    // Ports
    {"insb", "6C", "Yb, DX", always<input_string>, kRep | kNoTest},
    {"insw|insd|insd", "6D", "Yz, DX", always<input_string>, kRep | kNoTest},
    {"outsb", "6E", "DX, Xb", always<output_string>, kRep | kNoTest},
    {"outsw|outsd|outsd", "6F", "DX, Xz", always<output_string>, kRep | kNoTest},
    {"in", "E4", "AL, Ib", always<input_immediate>, kNoTest},
    {"in", "E5", "eAX, Ib", always<input_immediate>, kNoTest},
    {"out", "E6", "Ib, AL", always<output_immediate>, kNoTest},
    {"out", "E7", "Ib, eAX", always<output_immediate>, kNoTest},
    {"in", "EC", "AL, DX", always<input_dx>, kNoTest},
    {"in", "ED", "eAX, DX", always<input_dx>, kNoTest},
    {"out", "EE", "DX, AL", always<output_dx>, kNoTest},
    {"out", "EF", "DX, eAX", always<output_dx>, kNoTest},
};

}  // namespace

std::span<const Row> system_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
