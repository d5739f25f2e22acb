// Lets an SSE operation raise its exceptions on the host, to learn exactly which flags it sets.
//
// An unmasked exception of an operand keeps the operation from being carried out, so that it sets no other
// flag; beside an unmasked overflow or underflow, PE says whether the significand was rounded (Intel SDM vol.
// 1, 4.9.1.5 and 4.9.1.6). No masked operation tells. This takes a signal, so it is used only when the guest
// is to get the exception anyway.
#pragma once

#include <cstdint>

namespace alcove::cpu::soft {

// Loads MXCSR with `mxcsr`, which unmasks exceptions, and has the process's SIGFPE for itself until the end.
// In between: the operation and nothing else.
void begin_trapping(uint32_t mxcsr);
// The flags with which the operation was stopped; it has been completed with all exceptions masked. MXCSR
// holds its default again. 0 if nothing trapped.
uint32_t end_trapping();

}  // namespace alcove::cpu::soft
