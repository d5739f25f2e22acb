// Recognises what people give as a kernel by mistake.
#pragma once

#include <string>

#include "boot/file_bytes.h"

namespace alcove::boot {

struct FileKind {
  std::string what;  // "an arm64 kernel"; empty if unknown.
  std::string hint;
};

// Of bytes that are no kernel we could boot.
FileKind recognise(Bytes bytes);

bool is_bzimage(Bytes bytes);
bool is_elf(Bytes bytes);

}  // namespace alcove::boot
