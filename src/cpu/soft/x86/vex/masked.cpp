// Moves of those elements that a mask selects, and gathers: element by element, as each may fault.
#include <array>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/sse/upper_halves.h"
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

template <class T>
T element(const Ymm& vector, unsigned number) {
  T value;
  std::memcpy(&value, reinterpret_cast<const char*>(&vector) + sizeof value * number, sizeof value);
  return value;
}
template <class T>
void set_element(Ymm& vector, unsigned number, T value) {
  std::memcpy(reinterpret_cast<char*>(&vector) + sizeof value * number, &value, sizeof value);
}
template <class T>
bool selects(const Ymm& mask, unsigned number) {
  return element<T>(mask, number) >> (8 * sizeof(T) - 1);
}

// The address of an element of a vector in memory; outside 64-bit mode each is within the segment or not.
template <class T>
uint64_t element_address(Cpu& cpu, const Insn& insn, unsigned number, bool write) {
  Insn moved = insn;
  moved.displacement += static_cast<int64_t>(sizeof(T) * number);
  return linear_address(cpu, moved, sizeof(T), write);
}

template <class T>
void masked_load(Cpu& cpu, const Insn& insn) {
  const Ymm mask = read_ymm(cpu.fpu, insn.vvvv);
  Ymm result{};
  for (unsigned i = 0; i < insn.vector_size / sizeof(T); ++i)
    if (selects<T>(mask, i)) set_element(result, i, load<T>(cpu, element_address<T>(cpu, insn, i, false)));
  write_ymm(cpu.fpu, insn.reg, result);
}

template <class T>
void masked_store(Cpu& cpu, const Insn& insn) {
  const Ymm mask = read_ymm(cpu.fpu, insn.vvvv), value = read_ymm(cpu.fpu, insn.reg);
  const unsigned count = insn.vector_size / sizeof(T);
  for (unsigned i = 0; i < count; ++i)
    if (selects<T>(mask, i)) probe_write(cpu, element_address<T>(cpu, insn, i, true), sizeof(T));
  for (unsigned i = 0; i < count; ++i)
    if (selects<T>(mask, i)) store<T>(cpu, element_address<T>(cpu, insn, i, true), element<T>(value, i));
}

// VMASKMOVDQU: bytes, to DS:rDI.
void masked_store_bytes(Cpu& cpu, const Insn& insn) {
  const auto value = read_xmm<std::array<uint8_t, 16>>(cpu, insn.reg);
  const auto mask = read_xmm<std::array<uint8_t, 16>>(cpu, insn.rm);
  Insn target = insn;
  target.base = rdi;
  target.index = kNoRegister;
  target.displacement = 0;
  const uint64_t address = linear_address(cpu, target, mask.size(), true);
  probe_write(cpu, address, mask.size());
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i] & 0x80) store<uint8_t>(cpu, address + i, value[i]);
}

// A fault leaves the elements so far in place, with their part of the mask cleared, so that what follows the
// fault goes on behind them (Intel SDM vol. 2, VPGATHERDD).
template <class Index, class T>
void gather(Cpu& cpu, const Insn& insn) {
  FpuState& fpu = cpu.fpu;
  const unsigned count = insn.vector_size / std::max(sizeof(Index), sizeof(T));
  const Ymm indices = read_ymm(fpu, insn.rm);
  Ymm result = read_ymm(fpu, insn.reg), mask = read_ymm(fpu, insn.vvvv);
  for (unsigned i = 0; i < count; ++i) {
    write_ymm(fpu, insn.reg, result);
    write_ymm(fpu, insn.vvvv, mask);
    if (!selects<T>(mask, i)) {
      set_element(mask, i, T{0});
      continue;
    }
    Insn each = insn;
    const auto index = static_cast<uint64_t>(int64_t{element<std::make_signed_t<Index>>(indices, i)});
    each.displacement = static_cast<int64_t>(static_cast<uint64_t>(each.displacement) +
                                             (index << insn.scale));  // It may wrap.
    set_element(result, i, load<T>(cpu, linear_address(cpu, each, sizeof(T), false)));
    set_element(mask, i, T{0});
  }
  Ymm final_result{};
  std::memcpy(&final_result, &result, count * sizeof(T));
  write_ymm(fpu, insn.reg, final_result);
  write_ymm(fpu, insn.vvvv, Ymm{});
}

// #UD if two of the three registers are the same.
template <class Index, class T>
Handler gather_row(const Insn& insn) {
  if (insn.reg == insn.vvvv || insn.reg == insn.rm || insn.vvvv == insn.rm) return nullptr;
  return on_host<Avx, gather<Index, T>>(insn);
}

template <Handler kHandler>
constexpr Row masked(const char* mnemonic, const char* encoding, const char* operands, const char* feature) {
  return {mnemonic, encoding, operands, on_host<Avx, kHandler>, kAvx, {}, feature};
}
template <class Index, class T>
constexpr Row gathering(const char* mnemonic, const char* encoding) {
  return {mnemonic, encoding, "Vx,Kx,Hx", gather_row<Index, T>, kAvx, {}, "avx2"};
}

constexpr Row kRows[] = {
    masked<masked_store_bytes>("vmaskmovdqu", "VEX.128.66.0F F7 /r reg", "Vdq,Udq", "avx"),
    masked<masked_load<uint32_t>>("vmaskmovps", "VEX.66.0F38.W0 2C /r mem", "Vx,Hx,Mx", "avx"),
    masked<masked_load<uint64_t>>("vmaskmovpd", "VEX.66.0F38.W0 2D /r mem", "Vx,Hx,Mx", "avx"),
    masked<masked_store<uint32_t>>("vmaskmovps", "VEX.66.0F38.W0 2E /r mem", "Mx,Hx,Vx", "avx"),
    masked<masked_store<uint64_t>>("vmaskmovpd", "VEX.66.0F38.W0 2F /r mem", "Mx,Hx,Vx", "avx"),
    masked<masked_load<uint32_t>>("vpmaskmovd", "VEX.66.0F38.W0 8C /r mem", "Vx,Hx,Mx", "avx2"),
    masked<masked_load<uint64_t>>("vpmaskmovq", "VEX.66.0F38.W1 8C /r mem", "Vx,Hx,Mx", "avx2"),
    masked<masked_store<uint32_t>>("vpmaskmovd", "VEX.66.0F38.W0 8E /r mem", "Mx,Hx,Vx", "avx2"),
    masked<masked_store<uint64_t>>("vpmaskmovq", "VEX.66.0F38.W1 8E /r mem", "Mx,Hx,Vx", "avx2"),
    gathering<uint32_t, uint32_t>("vpgatherdd", "VEX.66.0F38.W0 90 /r mem"),
    gathering<uint32_t, uint64_t>("vpgatherdq", "VEX.66.0F38.W1 90 /r mem"),
    gathering<uint64_t, uint32_t>("vpgatherqd", "VEX.66.0F38.W0 91 /r mem"),
    gathering<uint64_t, uint64_t>("vpgatherqq", "VEX.66.0F38.W1 91 /r mem"),
    gathering<uint32_t, uint32_t>("vgatherdps", "VEX.66.0F38.W0 92 /r mem"),
    gathering<uint32_t, uint64_t>("vgatherdpd", "VEX.66.0F38.W1 92 /r mem"),
    gathering<uint64_t, uint32_t>("vgatherqps", "VEX.66.0F38.W0 93 /r mem"),
    gathering<uint64_t, uint64_t>("vgatherqpd", "VEX.66.0F38.W1 93 /r mem"),
};

}  // namespace

std::span<const Row> vex_masked_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
