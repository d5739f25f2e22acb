// Translations as text, for people and for the test of what is emitted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "cpu/soft/code/block.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

// The block's instructions, one a line, as if it were at `address`.
std::string list_guest_code(const Block& block, uint64_t address);

// What the first `listed` bytes of a translation hold up to its data, one instruction a line. Branches have
// labels, or say where they lead out of the listed part; the guest's registers in memory and what else GS
// leads to have names. Nothing depends on where the code is.
struct HostListing {
  std::span<const uint8_t> code;     // To be read here,
  const uint8_t* address = nullptr;  // and run there.
  size_t listed = 0;
  bool with_addresses = false;
};
std::string list_host_code(const HostListing& listing, const CommonCode& common);

}  // namespace alcove::cpu::soft
