// Whatever the bytes, decoding neither fails otherwise than by its error values nor reads beyond them, and
// what it accepts can be shown.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/disassembler.h"

using namespace alcove::cpu::soft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr CodeMode kModes[] = {CodeMode::bits16, CodeMode::bits32, CodeMode::bits64};
  const CodeMode mode = kModes[data[0] % 3];
  const std::vector<uint8_t> bytes(data + 1, data + size);  // Its own allocation, so that overreads show.
  Insn insn;
  const DecodeError error = decode(bytes, mode, 7, insn);
  if (error == DecodeError::needs_more_bytes) {
    if (bytes.size() >= kMaximumInsnLength) std::abort();
    return 0;
  }
  if (!insn.handler || !insn.row || insn.length > bytes.size() || insn.length > kMaximumInsnLength)
    std::abort();
  if (disassemble(insn, 0x1000).empty()) std::abort();
  // The same bytes and no more give the same instruction.
  Insn again;
  if (error == DecodeError::none) {
    if (decode(std::vector(bytes.begin(), bytes.begin() + insn.length), mode, 7, again) !=
            DecodeError::none ||
        again.length != insn.length || again.handler != insn.handler)
      std::abort();
    if (insn.length > 1 && decode(std::vector(bytes.begin(), bytes.begin() + insn.length - 1), mode, 7,
                                  again) == DecodeError::none)
      std::abort();
  }
  return 0;
}
