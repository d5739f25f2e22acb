// The host's page faults in translated code, which mean that an access is not for the FlatMap to answer.
#pragma once

namespace alcove::cpu::soft {

class Translator;

// Once a process; other faults go to whoever handled them before.
void install_fault_handler();

// Says whose code this thread is going to run.
void expect_faults(Translator& translator);

}  // namespace alcove::cpu::soft
