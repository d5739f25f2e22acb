// Macros of the guests written in assembly: include once in a test, before its guests.
//   say VALUE   writes a word to the test's port (EAX is lost)
//   done        ends the guest
#pragma once

asm(R"(
  .macro say value
    mov \value, %eax
    out %eax, $0xe9
  .endm
  .macro done
    out %al, $0xf4
    jmp .
  .endm
)");
