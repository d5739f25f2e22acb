// Brings a program by the Multiboot Specification 0.6.96 (version 1) into a machine's memory: a 32-bit ELF
// file, with its command line and one module.
#pragma once

#include <alcove/error.h>

#include <span>
#include <string>

#include "boot/file_bytes.h"
#include "boot/linux_boot.h"
#include "cpu/x86_state.h"
#include "memory/guest_memory.h"

namespace alcove::multiboot {

// The loader's own data, command line and module included, lie here: programs are linked to other places.
inline constexpr uint64_t kDataBegin = 0x80000, kDataEnd = 0x9f000;

struct Request {
  boot::Bytes image;
  boot::Bytes module;  // None if empty.
  std::string command_line;
  std::span<const boot::MemoryRange> memory_map;
};

// Gives the first processor's state at the entry: `state` but for what the specification defines (3.2).
// Nothing about the image is taken on trust.
Result<cpu::X86State> load(memory::GuestMemory& memory, const Request& request, cpu::X86State state);

}  // namespace alcove::multiboot
