// Fused multiplication and addition.
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

constexpr Row multiply_add(const char* mnemonic, const char* encoding, const char* operands) {
  return {mnemonic, encoding, operands, on_host<Fma>, kAvx, {}, "fma"};
}

constexpr Row kRows[] = {
    multiply_add("vfmaddsub132ps", "VEX.66.0F38.W0 96 /r", "Vx,Hx,Wx"),
    multiply_add("vfmaddsub132pd", "VEX.66.0F38.W1 96 /r", "Vx,Hx,Wx"),
    multiply_add("vfmsubadd132ps", "VEX.66.0F38.W0 97 /r", "Vx,Hx,Wx"),
    multiply_add("vfmsubadd132pd", "VEX.66.0F38.W1 97 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd132ps", "VEX.66.0F38.W0 98 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd132ss", "VEX.66.0F38.W0 99 /r", "Vss,Hss,Wss"),
    multiply_add("vfmadd132pd", "VEX.66.0F38.W1 98 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd132sd", "VEX.66.0F38.W1 99 /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfmsub132ps", "VEX.66.0F38.W0 9A /r", "Vx,Hx,Wx"),
    multiply_add("vfmsub132ss", "VEX.66.0F38.W0 9B /r", "Vss,Hss,Wss"),
    multiply_add("vfmsub132pd", "VEX.66.0F38.W1 9A /r", "Vx,Hx,Wx"),
    multiply_add("vfmsub132sd", "VEX.66.0F38.W1 9B /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfnmadd132ps", "VEX.66.0F38.W0 9C /r", "Vx,Hx,Wx"),
    multiply_add("vfnmadd132ss", "VEX.66.0F38.W0 9D /r", "Vss,Hss,Wss"),
    multiply_add("vfnmadd132pd", "VEX.66.0F38.W1 9C /r", "Vx,Hx,Wx"),
    multiply_add("vfnmadd132sd", "VEX.66.0F38.W1 9D /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfnmsub132ps", "VEX.66.0F38.W0 9E /r", "Vx,Hx,Wx"),
    multiply_add("vfnmsub132ss", "VEX.66.0F38.W0 9F /r", "Vss,Hss,Wss"),
    multiply_add("vfnmsub132pd", "VEX.66.0F38.W1 9E /r", "Vx,Hx,Wx"),
    multiply_add("vfnmsub132sd", "VEX.66.0F38.W1 9F /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfmaddsub213ps", "VEX.66.0F38.W0 A6 /r", "Vx,Hx,Wx"),
    multiply_add("vfmaddsub213pd", "VEX.66.0F38.W1 A6 /r", "Vx,Hx,Wx"),
    multiply_add("vfmsubadd213ps", "VEX.66.0F38.W0 A7 /r", "Vx,Hx,Wx"),
    multiply_add("vfmsubadd213pd", "VEX.66.0F38.W1 A7 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd213ps", "VEX.66.0F38.W0 A8 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd213ss", "VEX.66.0F38.W0 A9 /r", "Vss,Hss,Wss"),
    multiply_add("vfmadd213pd", "VEX.66.0F38.W1 A8 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd213sd", "VEX.66.0F38.W1 A9 /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfmsub213ps", "VEX.66.0F38.W0 AA /r", "Vx,Hx,Wx"),
    multiply_add("vfmsub213ss", "VEX.66.0F38.W0 AB /r", "Vss,Hss,Wss"),
    multiply_add("vfmsub213pd", "VEX.66.0F38.W1 AA /r", "Vx,Hx,Wx"),
    multiply_add("vfmsub213sd", "VEX.66.0F38.W1 AB /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfnmadd213ps", "VEX.66.0F38.W0 AC /r", "Vx,Hx,Wx"),
    multiply_add("vfnmadd213ss", "VEX.66.0F38.W0 AD /r", "Vss,Hss,Wss"),
    multiply_add("vfnmadd213pd", "VEX.66.0F38.W1 AC /r", "Vx,Hx,Wx"),
    multiply_add("vfnmadd213sd", "VEX.66.0F38.W1 AD /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfnmsub213ps", "VEX.66.0F38.W0 AE /r", "Vx,Hx,Wx"),
    multiply_add("vfnmsub213ss", "VEX.66.0F38.W0 AF /r", "Vss,Hss,Wss"),
    multiply_add("vfnmsub213pd", "VEX.66.0F38.W1 AE /r", "Vx,Hx,Wx"),
    multiply_add("vfnmsub213sd", "VEX.66.0F38.W1 AF /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfmaddsub231ps", "VEX.66.0F38.W0 B6 /r", "Vx,Hx,Wx"),
    multiply_add("vfmaddsub231pd", "VEX.66.0F38.W1 B6 /r", "Vx,Hx,Wx"),
    multiply_add("vfmsubadd231ps", "VEX.66.0F38.W0 B7 /r", "Vx,Hx,Wx"),
    multiply_add("vfmsubadd231pd", "VEX.66.0F38.W1 B7 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd231ps", "VEX.66.0F38.W0 B8 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd231ss", "VEX.66.0F38.W0 B9 /r", "Vss,Hss,Wss"),
    multiply_add("vfmadd231pd", "VEX.66.0F38.W1 B8 /r", "Vx,Hx,Wx"),
    multiply_add("vfmadd231sd", "VEX.66.0F38.W1 B9 /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfmsub231ps", "VEX.66.0F38.W0 BA /r", "Vx,Hx,Wx"),
    multiply_add("vfmsub231ss", "VEX.66.0F38.W0 BB /r", "Vss,Hss,Wss"),
    multiply_add("vfmsub231pd", "VEX.66.0F38.W1 BA /r", "Vx,Hx,Wx"),
    multiply_add("vfmsub231sd", "VEX.66.0F38.W1 BB /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfnmadd231ps", "VEX.66.0F38.W0 BC /r", "Vx,Hx,Wx"),
    multiply_add("vfnmadd231ss", "VEX.66.0F38.W0 BD /r", "Vss,Hss,Wss"),
    multiply_add("vfnmadd231pd", "VEX.66.0F38.W1 BC /r", "Vx,Hx,Wx"),
    multiply_add("vfnmadd231sd", "VEX.66.0F38.W1 BD /r", "Vsd,Hsd,Wsd"),
    multiply_add("vfnmsub231ps", "VEX.66.0F38.W0 BE /r", "Vx,Hx,Wx"),
    multiply_add("vfnmsub231ss", "VEX.66.0F38.W0 BF /r", "Vss,Hss,Wss"),
    multiply_add("vfnmsub231pd", "VEX.66.0F38.W1 BE /r", "Vx,Hx,Wx"),
    multiply_add("vfnmsub231sd", "VEX.66.0F38.W1 BF /r", "Vsd,Hsd,Wsd"),
};

}  // namespace

std::span<const Row> vex_multiply_add_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
