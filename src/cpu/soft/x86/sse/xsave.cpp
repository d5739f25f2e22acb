// XSAVE and its relatives (Intel SDM vol. 1, chapter 13), XGETBV and XSETBV.
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/sse/upper_halves.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr0Ts = 1u << 3, kCr4Osxsave = 1u << 18;
constexpr size_t kAlignment = 64, kChunk = 16;
constexpr size_t kMxcsrOffset = 24, kStOffset = 32, kHeader = sizeof(FxImage), kUpperHalves = 576;
constexpr uint64_t kCompacted = uint64_t{1} << 63;  // XCOMP_BV

unsigned register_count(const Cpu& cpu) {
  return cpu.in_64bit() ? 16 : 8;
}

uint64_t requested_components(const Cpu& cpu) {
  return ((cpu.gpr[rdx] << 32 | static_cast<uint32_t>(cpu.gpr[rax])) & cpu.xcr0);
}

bool is_initial(const FpuState& fpu) {
  if (fpu.control != kX87ControlReset || fpu.status != 0 || fpu.tag != 0xffff || fpu.last_opcode != 0 ||
      fpu.last_instruction != 0 || fpu.last_data != 0)
    return false;
  for (const FpuState::Register& value : fpu.physical)
    if (value.significand != 0 || value.exponent != 0) return false;
  return true;
}

// XINUSE
uint64_t components_in_use(const FpuState& fpu) {
  uint64_t used = 0;
  if (!is_initial(fpu)) used |= kXcr0X87;
  for (const Ymm& value : fpu.ymm)
    if (value.words[0] | value.words[1]) used |= kXcr0Sse;
  if (fpu.upper_in_use) used |= kXcr0Upper;
  return used;
}

void require_xsave(Cpu& cpu) {
  if (!(cpu.cr4 & kCr4Osxsave)) raise(cpu, kInvalidOpcode);
}

uint64_t area_address(Cpu& cpu, const Insn& insn, size_t size, bool write) {
  require_xsave(cpu);
  if (cpu.cr0 & kCr0Ts) raise(cpu, kDeviceNotAvailable);
  const uint64_t address = linear_address(cpu, insn, size, write);
  if (address % kAlignment != 0) raise(cpu, kGeneralProtection, 0);
  return address;
}

enum class Kind { plain, optimized, compacted };

// The memory to save to or restore from: looked up once, if the TLB has all of it.
class Area {
 public:
  Area(Cpu& cpu, uint64_t address, size_t size, bool write) : cpu_(cpu), address_(address) {
    const TlbEntry& entry = cpu.tlb->entry(address);
    if ((write ? entry.write_tag : entry.read_tag) == wanted_tag(address, size, cpu.tlb_generation))
      host_ = reinterpret_cast<std::byte*>(address + entry.addend);
    else if (write)
      probe_write(cpu, address, size);
  }
  template <class T>
  T get(size_t offset) const {
    if (!host_) return load<T>(cpu_, address_ + offset);
    T value;
    std::memcpy(&value, host_ + offset, sizeof value);
    return value;
  }
  template <class T>
  void put(size_t offset, const std::type_identity_t<T>& value) const {
    if (!host_) return store<T>(cpu_, address_ + offset, value);
    std::memcpy(host_ + offset, &value, sizeof value);
  }

 private:
  Cpu& cpu_;
  uint64_t address_;
  std::byte* host_ = nullptr;
};

void save_x87(Cpu& cpu, const Insn& insn, const Area& area) {
  FxImage image;
  save_x87_image(cpu.fpu, image, insn.operand_size == 8);
  const auto word = [&](size_t offset) {
    uint64_t value;
    std::memcpy(&value, image.bytes.data() + offset, sizeof value);
    return value;
  };
  for (size_t offset = 0; offset < kMxcsrOffset; offset += 8) area.put<uint64_t>(offset, word(offset));
  for (size_t offset = kStOffset; offset < kFxImageXmm; offset += kChunk)
    area.put<Xmm>(offset, Xmm{word(offset), word(offset + 8)});
}

template <Kind kKind>
void save(Cpu& cpu, const Insn& insn) {
  const uint64_t wanted = requested_components(cpu);
  const size_t size = wanted & kXcr0Upper ? kUpperHalves + 16 * kChunk : kUpperHalves;
  const Area area(cpu, area_address(cpu, insn, size, true), size, true);
  const uint32_t mxcsr = read_mxcsr(cpu);
  uint64_t used = components_in_use(cpu.fpu);
  if (kKind == Kind::compacted && mxcsr != kMxcsrDefault) used |= kXcr0Sse;
  const uint64_t saved = kKind == Kind::plain ? wanted : wanted & used;
  const uint64_t header =
      kKind == Kind::compacted ? wanted & used : (area.get<uint64_t>(kHeader) & ~wanted) | (wanted & used);

  if (saved & kXcr0X87) save_x87(cpu, insn, area);
  if (kKind == Kind::compacted ? saved & kXcr0Sse : wanted & kXcr0Avx)
    area.put<uint64_t>(kMxcsrOffset, mxcsr | uint64_t{kMxcsrWritable} << 32);
  for (unsigned i = 0; i < register_count(cpu); ++i) {
    const Ymm value = read_ymm(cpu.fpu, i);
    if (saved & kXcr0Sse) area.put<Xmm>(kFxImageXmm + kChunk * i, Xmm{value.words[0], value.words[1]});
    if (saved & kXcr0Upper) area.put<Xmm>(kUpperHalves + kChunk * i, Xmm{value.words[2], value.words[3]});
  }
  area.put<uint64_t>(kHeader, header);
  if (kKind == Kind::compacted) area.put<uint64_t>(kHeader + 8, wanted | kCompacted);
}

struct Header {
  uint64_t present = 0;  // XSTATE_BV
  bool compacted = false;
};

Header load_header(Cpu& cpu, const Area& area) {
  Header header{.present = area.get<uint64_t>(kHeader)};
  const auto layout = area.get<uint64_t>(kHeader + 8);
  header.compacted = layout & kCompacted;
  const uint64_t possible = header.compacted ? layout & ~kCompacted : cpu.xcr0;
  bool valid = !(possible & ~cpu.xcr0) && !(header.present & ~possible) && (header.compacted || layout == 0);
  const size_t reserved_end = header.compacted ? 64 : 24;
  for (size_t offset = 16; offset < reserved_end; offset += 8)
    valid &= area.get<uint64_t>(kHeader + offset) == 0;
  if (!valid) raise(cpu, kGeneralProtection, 0);
  return header;
}

// All is loaded before anything changes.
struct Loaded {
  FxImage image;
  std::array<Xmm, 16> lower{}, upper{};
};

void restore_x87(Cpu& cpu, const Insn& insn, const Loaded& loaded, bool present) {
  if (present) {
    load_x87_image(cpu.fpu, loaded.image, insn.operand_size == 8);
  } else {
    reset_x87(cpu.fpu);
    cpu.fpu.physical = {};
  }
}

void xrstor(Cpu& cpu, const Insn& insn) {
  const uint64_t wanted = requested_components(cpu);
  // Not longer than what may be read.
  const size_t size = wanted & kXcr0Upper ? kUpperHalves + 16 * kChunk : kUpperHalves;
  const Area area(cpu, area_address(cpu, insn, kUpperHalves, false), size, false);
  const Header header = load_header(cpu, area);
  const uint64_t present = wanted & header.present;
  const unsigned count = register_count(cpu);

  Loaded loaded;
  if (present & kXcr0X87) {
    for (size_t offset = 0; offset < kFxImageXmm; offset += kChunk) {
      const auto chunk = area.get<Xmm>(offset);
      std::memcpy(loaded.image.bytes.data() + offset, &chunk, kChunk);
    }
  }
  uint32_t mxcsr = header.compacted && (wanted & kXcr0Sse) ? kMxcsrDefault : read_mxcsr(cpu);
  if (header.compacted ? present & kXcr0Sse : wanted & kXcr0Avx) {
    mxcsr = area.get<uint32_t>(kMxcsrOffset);
    if (mxcsr & ~kMxcsrWritable) raise(cpu, kGeneralProtection, 0);
  }
  for (unsigned i = 0; i < count; ++i) {
    if (present & kXcr0Sse) loaded.lower[i] = area.get<Xmm>(kFxImageXmm + kChunk * i);
    if (present & kXcr0Upper) loaded.upper[i] = area.get<Xmm>(kUpperHalves + kChunk * i);
  }

  if (wanted & kXcr0X87) restore_x87(cpu, insn, loaded, present & kXcr0X87);
  if (wanted & kXcr0Avx) write_mxcsr(cpu, mxcsr);
  if ((wanted & kXcr0Upper) && count == 16) cpu.fpu.upper_in_use = false;
  for (unsigned i = 0; i < count; ++i) {
    Ymm value = read_ymm(cpu.fpu, i);
    if (wanted & kXcr0Sse) std::memcpy(value.words.data(), &loaded.lower[i], kChunk);
    if (wanted & kXcr0Upper) std::memcpy(value.words.data() + 2, &loaded.upper[i], kChunk);
    write_ymm(cpu.fpu, i, value);
  }
}

void xgetbv(Cpu& cpu, const Insn&) {
  require_xsave(cpu);
  uint64_t value = cpu.xcr0;
  const uint32_t number = read_gpr<uint32_t>(cpu, rcx);
  if (number > 1) raise(cpu, kGeneralProtection, 0);
  if (number == 1) value &= components_in_use(cpu.fpu);
  cpu.gpr[rax] = static_cast<uint32_t>(value);
  cpu.gpr[rdx] = value >> 32;
}

void xsetbv(Cpu& cpu, const Insn&) {
  require_xsave(cpu);
  require_cpl0(cpu);
  const uint64_t value = cpu.gpr[rdx] << 32 | static_cast<uint32_t>(cpu.gpr[rax]);
  const bool possible = read_gpr<uint32_t>(cpu, rcx) == 0 && !(value & ~supported_xcr0()) &&
                        (value & kXcr0X87) && (!(value & kXcr0Upper) || (value & kXcr0Sse));
  if (!possible) raise(cpu, kGeneralProtection, 0);
  cpu.xcr0 = value;
  update_mode(cpu);
  finish(cpu);
}

// The host has more components.
constexpr Row kRows[] = {
    {"xsave|xsave|xsave64", "NP 0F AE /4 mem", "Mm", only<save<Kind::plain>>, kNoTest, {}, "xsave"},
    {"xrstor|xrstor|xrstor64", "NP 0F AE /5 mem", "Mm", only<xrstor>, kNoTest, {}, "xsave"},
    {"xsaveopt|xsaveopt|xsaveopt64",
     "NP 0F AE /6 mem",
     "Mm",
     only<save<Kind::optimized>>,
     kNoTest,
     {},
     "xsaveopt"},
    {"xsavec|xsavec|xsavec64", "NP 0F C7 /4 mem", "Mm", only<save<Kind::compacted>>, kNoTest, {}, "xsavec"},
    {"xgetbv", "NP 0F 01 D0", "", only<xgetbv>, kNoTest, {}, "xsave"},
    {"xsetbv", "NP 0F 01 D1", "", only<xsetbv>, kPrivileged | kEndsBlock | kNoTest, {}, "xsave"},
};

}  // namespace

std::span<const Row> xsave_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
