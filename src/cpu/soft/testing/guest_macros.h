// Guests written in assembly, in the test that runs them. What they may use:
//   say VALUE   writes a word to the test's port (EAX is lost)
//   done        ends the guest
#pragma once

#include <cstdint>
#include <span>

// Assembles `text` into read-only data as the bytes of a function-like `name()`.
#define ALCOVE_GUEST(name, text)                                                                   \
  extern "C" const uint8_t guest_##name##_begin[], guest_##name##_end[];                           \
  asm(".pushsection .rodata\n"                                                                     \
      ".balign 16\n"                                                                               \
      "guest_" #name "_begin:\n" #name " = .\n" text                                               \
      "\n.code64\n"                                                                                \
      "guest_" #name                                                                               \
      "_end:\n"                                                                                    \
      ".popsection\n");                                                                            \
  static std::span<const uint8_t> name() {                                                         \
    return {guest_##name##_begin, static_cast<size_t>(guest_##name##_end - guest_##name##_begin)}; \
  }                                                                                                \
  static_assert(true)

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
