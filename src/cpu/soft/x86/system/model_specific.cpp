#include "cpu/soft/x86/system/model_specific.h"

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/kvm_clock.h"
#include "cpu/soft/x86/system/paravirtual.h"
#include "cpu/soft/x86/system/segments.h"

namespace alcove::cpu::soft {
namespace {

enum Msr : uint32_t {
  kTsc = 0x10,
  kKvmWallClockOld = 0x11,
  kKvmSystemTimeOld = 0x12,
  kPlatformId = 0x17,
  kApicBase = 0x1b,
  kFeatureControl = 0x3a,
  kTscAdjust = 0x3b,
  kMicrocodeUpdate = 0x79,
  kMicrocodeRevision = 0x8b,
  kMtrrCapabilities = 0xfe,
  kArchCapabilities = 0x10a,
  kSysenterCs = 0x174,
  kSysenterEsp = 0x175,
  kSysenterEip = 0x176,
  kMachineCheckCapabilities = 0x179,
  kMachineCheckStatus = 0x17a,
  kMachineCheckControl = 0x17b,
  kMiscEnable = 0x1a0,
  kDebugControl = 0x1d9,
  kMtrrVariable = 0x200,
  kPat = 0x277,
  kMtrrDefaultType = 0x2ff,
  kMachineCheckBanks0 = 0x400,
  kTscDeadline = 0x6e0,
  kX2apic = 0x800,
  kKvmWallClock = 0x4b564d00,
  kKvmSystemTime = 0x4b564d01,
  kKvmStealTime = 0x4b564d03,
  kKvmEndOfInterrupt = 0x4b564d04,
  kKvmPollControl = 0x4b564d05,
  kEfer = 0xc0000080,
  kStar = 0xc0000081,
  kLstar = 0xc0000082,
  kCstar = 0xc0000083,
  kSfmask = 0xc0000084,
  kFsBase = 0xc0000100,
  kGsBase = 0xc0000101,
  kKernelGsBase = 0xc0000102,
  kTscAux = 0xc0000103,
};

// RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO,
// BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO: translated code speculates as the host does, but what guests do
// against that does not reach the host's processor, and costs.
constexpr uint64_t kNotAffected = 1u << 0 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 7u << 13 |
                                  1u << 20 | 1u << 24 | 1u << 26 | 1u << 27 | uint64_t{1} << 62;

constexpr uint64_t kEferWritable = 0x901;  // SCE, LME, NXE
constexpr uint64_t kLme = 1u << 8, kLma = 1u << 10;

// UC, WC, WT, WP and WB.
bool is_memory_type(uint64_t type) {
  return type <= 6 && type != 2 && type != 3;
}

// Eight memory types, one in each byte; PAT also has UC- (7).
bool are_memory_types(uint64_t value, bool pat) {
  for (int i = 0; i < 8; ++i, value >>= 8) {
    const uint64_t type = value & 0xff;
    if (!is_memory_type(type) && !(pat && type == 7)) return false;
  }
  return true;
}

// The place of a fixed-range MTRR in SystemRegisters::mtrr_fixed, or -1.
int fixed_mtrr(uint32_t number) {
  if (number == 0x250) return 0;
  if (number == 0x258 || number == 0x259) return static_cast<int>(number - 0x258 + 1);
  if (number >= 0x268 && number <= 0x26f) return static_cast<int>(number - 0x268 + 3);
  return -1;
}

bool is_variable_mtrr(uint32_t number) {
  return number >= kMtrrVariable && number < kMtrrVariable + 2 * kVariableMtrrs;
}

bool is_machine_check_bank(uint32_t number) {
  return number >= kMachineCheckBanks0 && number < kMachineCheckBanks0 + 4 * kMachineCheckBanks;
}

uint64_t& machine_check_register(Cpu& cpu, uint32_t number) {
  auto& bank = cpu.system.machine_check_banks[(number - kMachineCheckBanks0) / 4];
  uint64_t* const registers[] = {&bank.control, &bank.status, &bank.address, &bank.misc};
  return *registers[number % 4];
}

// SDM vol. 3, 16.3.2: control registers take all ones or none, status registers are only cleared.
bool write_machine_check(Cpu& cpu, uint32_t number, uint64_t value) {
  if (number % 4 == 0 && value != 0 && value != ~uint64_t{0}) return false;
  if (number % 4 == 1 && value != 0) return false;
  machine_check_register(cpu, number) = value;
  return true;
}

bool write_efer(Cpu& cpu, uint64_t value) {
  if (value & ~(kEferWritable | kLma)) return false;
  value = (value & kEferWritable) | (cpu.efer & kLma);
  const uint64_t changed = value ^ cpu.efer;
  if ((changed & kLme) && (cpu.cr0 >> 31 & 1)) return false;
  cpu.efer = value;
  if (changed) flush_tlb(cpu, true);
  update_mode(cpu);
  return true;
}

bool set_canonical(uint64_t& target, uint64_t value) {
  if (!is_canonical(value)) return false;
  target = value;
  return true;
}

bool write_segment_base(Cpu& cpu, SegmentIndex index, uint64_t value) {
  if (!is_canonical(value)) return false;
  cpu.segments[index].base = value;
  cpu.segment_base[index] = value;
  return true;
}

bool write_mtrr(Cpu& cpu, uint32_t number, uint64_t value) {
  constexpr uint64_t kReserved = ~((uint64_t{1} << kPhysicalAddressBits) - 1);
  SystemRegisters& system = cpu.system;
  if (const int fixed = fixed_mtrr(number); fixed >= 0) {
    if (!are_memory_types(value, false)) return false;
    system.mtrr_fixed[static_cast<size_t>(fixed)] = value;
    return true;
  }
  if (number == kMtrrDefaultType) {
    if (value & ~uint64_t{0xcff} || !is_memory_type(value & 0xff)) return false;
    system.mtrr_default_type = value;
    return true;
  }
  const unsigned index = (number - kMtrrVariable) / 2;
  if (value & kReserved) return false;
  if (number % 2 == 0) {
    if (value & 0xf00 || !is_memory_type(value & 0xff)) return false;
    system.mtrr_base[index] = value;
  } else {
    if (value & 0x7ff) return false;
    system.mtrr_mask[index] = value;
  }
  return true;
}

uint64_t read_mtrr(const Cpu& cpu, uint32_t number) {
  const SystemRegisters& system = cpu.system;
  if (const int fixed = fixed_mtrr(number); fixed >= 0) return system.mtrr_fixed[static_cast<size_t>(fixed)];
  if (number == kMtrrDefaultType) return system.mtrr_default_type;
  const unsigned index = (number - kMtrrVariable) / 2;
  return number % 2 == 0 ? system.mtrr_base[index] : system.mtrr_mask[index];
}

bool is_mtrr(uint32_t number) {
  return is_variable_mtrr(number) || fixed_mtrr(number) >= 0 || number == kMtrrDefaultType;
}

void move_tsc(Cpu& cpu, uint64_t delta) {
  cpu.tsc_offset += delta;
  cpu.system.tsc_adjust += delta;
  // What follows from the TSC: the clock that the guest reads by it, and when it will have a value.
  write_kvm_system_time(cpu, cpu.system.kvm_system_time);
  if (const uint64_t deadline = cpu.apic->tsc_deadline()) cpu.apic->set_tsc_deadline(deadline);
}

}  // namespace

uint64_t guest_tsc(const Cpu& cpu) {
  return MachineClock::host_tsc() + cpu.tsc_offset;
}

bool read_model_specific(Cpu& cpu, uint32_t number, uint64_t& value) {
  const SystemRegisters& system = cpu.system;
  if (number >= kX2apic && number < kX2apic + 0x100) return cpu.apic->read_msr(number, value);
  if (is_mtrr(number)) {
    value = read_mtrr(cpu, number);
    return true;
  }
  if (is_machine_check_bank(number)) {
    value = machine_check_register(cpu, number);
    return true;
  }
  const auto give = [&](uint64_t result) {
    value = result;
    return true;
  };
  switch (number) {
    case kTsc:
      return give(guest_tsc(cpu));
    case kKvmWallClock:
    case kKvmWallClockOld:
      return give(system.kvm_wall_clock);
    case kKvmSystemTime:
    case kKvmSystemTimeOld:
      return give(system.kvm_system_time);
    case kKvmStealTime:
      return give(system.kvm_steal_time);
    case kKvmEndOfInterrupt:
      return give(system.kvm_end_of_interrupt);
    case kKvmPollControl:
      return give(system.kvm_poll_control);
    case kPlatformId:
      return give(0);
    case kApicBase:
      return give(cpu.apic->base());
    case kFeatureControl:
      return give(1);  // Locked, nothing enabled.
    case kTscAdjust:
      return give(system.tsc_adjust);
    case kMicrocodeRevision:
      return give(system.microcode_revision);
    case kMtrrCapabilities:
      return give(kVariableMtrrs | 1u << 8 | 1u << 10);  // Fixed ranges, write combining.
    case kArchCapabilities:
      return give(kNotAffected);
    case kSysenterCs:
      return give(cpu.sysenter_cs);
    case kSysenterEsp:
      return give(cpu.sysenter_esp);
    case kSysenterEip:
      return give(cpu.sysenter_eip);
    case kMachineCheckCapabilities:
      return give(kMachineCheckBanks | 1u << 8);  // MCG_CTL is there.
    case kMachineCheckStatus:
      return give(system.machine_check_status);
    case kMachineCheckControl:
      return give(system.machine_check_control);
    case kMiscEnable:
      return give(system.misc_enable);
    case kDebugControl:
      return give(system.debug_control);
    case kPat:
      return give(cpu.pat);
    case kTscDeadline:
      return give(cpu.apic->tsc_deadline());
    case kEfer:
      return give(cpu.efer);
    case kStar:
      return give(cpu.star);
    case kLstar:
      return give(cpu.lstar);
    case kCstar:
      return give(cpu.cstar);
    case kSfmask:
      return give(cpu.sfmask);
    case kFsBase:
      return give(cpu.segments[fs].base);
    case kGsBase:
      return give(cpu.segments[gs].base);
    case kKernelGsBase:
      return give(cpu.kernel_gs_base);
    case kTscAux:
      return give(cpu.tsc_aux);
    default:
      return false;
  }
}

bool write_model_specific(Cpu& cpu, uint32_t number, uint64_t value) {
  SystemRegisters& system = cpu.system;
  if (number >= kX2apic && number < kX2apic + 0x100) return cpu.apic->write_msr(number, value);
  if (is_mtrr(number)) return write_mtrr(cpu, number, value);
  if (is_machine_check_bank(number)) return write_machine_check(cpu, number, value);
  const auto set = [&](uint64_t& target) {
    target = value;
    return true;
  };
  switch (number) {
    case kTsc:
      move_tsc(cpu, value - guest_tsc(cpu));
      return true;
    case kKvmWallClock:
    case kKvmWallClockOld:
      write_kvm_wall_clock(cpu, value);
      return true;
    case kKvmSystemTime:
    case kKvmSystemTimeOld:
      write_kvm_system_time(cpu, value);
      return true;
    case kKvmStealTime:
      return write_kvm_steal_time(cpu, value);
    case kKvmEndOfInterrupt:
      return write_kvm_end_of_interrupt(cpu, value);
    case kKvmPollControl:
      return value <= 1 && set(system.kvm_poll_control);
    case kApicBase:
      return cpu.apic->set_base(value);
    case kTscAdjust:
      move_tsc(cpu, value - system.tsc_adjust);
      return true;
    case kMicrocodeUpdate:
      return true;  // There is no microcode.
    case kMicrocodeRevision:
      return set(system.microcode_revision);
    case kSysenterCs:
      return set(cpu.sysenter_cs);
    case kSysenterEsp:
      return set_canonical(cpu.sysenter_esp, value);
    case kSysenterEip:
      return set_canonical(cpu.sysenter_eip, value);
    case kMachineCheckStatus:
      return set(system.machine_check_status);
    case kMachineCheckControl:
      return set(system.machine_check_control);
    case kMiscEnable:
      return set(system.misc_enable);
    case kDebugControl:
      system.debug_control = value & 0x3;  // LBR and BTF are kept, nothing records branches.
      return true;
    case kPat:
      return are_memory_types(value, true) && set(cpu.pat);
    case kTscDeadline:
      cpu.apic->set_tsc_deadline(value);
      return true;
    case kEfer:
      return write_efer(cpu, value);
    case kStar:
      return set(cpu.star);
    case kLstar:
      return set_canonical(cpu.lstar, value);
    case kCstar:
      return set_canonical(cpu.cstar, value);
    case kSfmask:
      return set(cpu.sfmask);
    case kFsBase:
      return write_segment_base(cpu, fs, value);
    case kGsBase:
      return write_segment_base(cpu, gs, value);
    case kKernelGsBase:
      return set_canonical(cpu.kernel_gs_base, value);
    case kTscAux:
      return value >> 32 == 0 && set(cpu.tsc_aux);
    default:
      return false;
  }
}

}  // namespace alcove::cpu::soft
