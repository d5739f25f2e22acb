// The steps of AES (FIPS 197) on a state of 16 bytes, column by column as it lies in an XMM register.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/sse/operands.h"

namespace alcove::cpu::soft::aes {

uint8_t substitute(uint8_t byte);
// SubBytes and ShiftRows, which commute.
XmmBytes substitute_and_shift(XmmBytes state);
XmmBytes inverse_substitute_and_shift(XmmBytes state);
XmmBytes inverse_mix_columns(XmmBytes state);
// A whole round but for the key: SubBytes, ShiftRows and MixColumns, or the inverse of each.
XmmBytes encrypt_round(XmmBytes state);
XmmBytes decrypt_round(XmmBytes state);

}  // namespace alcove::cpu::soft::aes
