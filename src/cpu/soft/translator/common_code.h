// The ways between translated code and C++.
#pragma once

#include "cpu/soft/translator/code_memory.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

// Called from translated code with all of the guest's registers in Cpu: executes the site's instruction.
// Where to go on: the site's `resume`, or null to leave.
using RunHandler = const uint8_t* (*)(Cpu*, const HandlerSite*);

CommonCode make_common_code(CodeMemory& memory, RunHandler run_handler);

// Likewise where raise() ended a handler: delivers the fault.
using DeliverFault = const uint8_t* (*)(Cpu*);
// The way to it, for a thread that is in a handler: with nothing but TranslatedState::host_rsp in RSP.
const uint8_t* make_fault_delivery(CodeMemory& memory, DeliverFault deliver_fault);

}  // namespace alcove::cpu::soft
