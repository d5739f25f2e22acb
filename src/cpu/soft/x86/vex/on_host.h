// Row::select for instructions that are left to the host's processor.
#pragma once

#include "cpu/soft/x86/host_features.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

// Executes the instruction, of a row of vex_rows(), by host_vector_unit.h.
void execute_on_host(Cpu& cpu, const Insn& insn);

// Where the host lacks what the row's feature promises, so does the processor model: the instruction is #UD.
struct Avx {
  static bool on_host() { return host_runs_avx(); }
};
struct Fma {
  static bool on_host() { return host_runs_avx() && host_has("fma"); }
};
struct F16c {
  static bool on_host() { return host_runs_avx() && host_has("f16c"); }
};
struct AvxAes {
  static bool on_host() { return host_runs_avx() && host_has("aes"); }
};
struct AvxMultiply {
  static bool on_host() { return host_runs_avx() && host_has("pclmulqdq"); }
};
struct Sha {
  static bool on_host() { return host_runs_avx() && host_has("sha_ni"); }
};

template <class Feature, Handler kHandler = execute_on_host>
Handler on_host(const Insn&) {
  static const bool has = Feature::on_host();
  return has ? kHandler : nullptr;
}

constexpr Row avx(const char* mnemonic, const char* encoding, const char* operands,
                  FlagEffects effects = {}) {
  return {mnemonic, encoding, operands, on_host<Avx>, kAvx, effects, "avx"};
}
constexpr Row avx2(const char* mnemonic, const char* encoding, const char* operands) {
  return {mnemonic, encoding, operands, on_host<Avx>, kAvx, {}, "avx2"};
}

}  // namespace alcove::cpu::soft
