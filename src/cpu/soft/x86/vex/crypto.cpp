// AES, carry-less multiplication, and SHA, whose instructions have no VEX prefix.
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

constexpr Row encryption(const char* mnemonic, const char* encoding, const char* operands) {
  return {mnemonic, encoding, operands, on_host<AvxAes>, kAvx, {}, "aes"};
}
constexpr Row hashing(const char* mnemonic, const char* encoding, const char* operands) {
  return {mnemonic, encoding, operands, on_host<Sha>, kSse, {}, "sha_ni"};
}

constexpr Row kRows[] = {
    encryption("vaesimc", "VEX.128.66.0F38 DB /r", "Vdq,Wdq"),
    encryption("vaesenc", "VEX.128.66.0F38 DC /r", "Vdq,Hdq,Wdq"),
    encryption("vaesenclast", "VEX.128.66.0F38 DD /r", "Vdq,Hdq,Wdq"),
    encryption("vaesdec", "VEX.128.66.0F38 DE /r", "Vdq,Hdq,Wdq"),
    encryption("vaesdeclast", "VEX.128.66.0F38 DF /r", "Vdq,Hdq,Wdq"),
    encryption("vaeskeygenassist", "VEX.128.66.0F3A DF /r", "Vdq,Wdq,Ib"),
    {"vpclmulqdq", "VEX.128.66.0F3A 44 /r", "Vdq,Hdq,Wdq,Ib", on_host<AvxMultiply>, kAvx, {}, "pclmulqdq"},
    hashing("sha1nexte", "NP 0F 38 C8 /r", "Vdq,Wdq"),
    hashing("sha1msg1", "NP 0F 38 C9 /r", "Vdq,Wdq"),
    hashing("sha1msg2", "NP 0F 38 CA /r", "Vdq,Wdq"),
    hashing("sha256rnds2", "NP 0F 38 CB /r", "Vdq,Wdq,XMM0"),
    hashing("sha256msg1", "NP 0F 38 CC /r", "Vdq,Wdq"),
    hashing("sha256msg2", "NP 0F 38 CD /r", "Vdq,Wdq"),
    hashing("sha1rnds4", "NP 0F 3A CC /r", "Vdq,Wdq,Ib"),
};

}  // namespace

std::span<const Row> vex_crypto_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
