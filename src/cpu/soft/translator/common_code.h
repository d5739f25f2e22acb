// The ways between translated code and C++.
#pragma once

#include "cpu/soft/translator/code_memory.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

// Called from translated code with all of the guest's registers in Cpu: executes the site's instruction.
// Where to go on: the site's `resume`, or null to leave.
using RunHandler = const uint8_t* (*)(Cpu*, const HandlerSite*);

CommonCode make_common_code(CodeMemory& memory, RunHandler run_handler);

}  // namespace alcove::cpu::soft
