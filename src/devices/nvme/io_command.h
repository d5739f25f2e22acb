// An NVM command on its way (NVM Express 1.4, section 6): parse() → process(). All distrust of what the guest
// wrote into the command and its ranges lives in parse().
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "devices/nvme/identity.h"
#include "devices/nvme/prp.h"
#include "devices/nvme/queues.h"
#include "storage/disk.h"

namespace alcove::devices::nvme {

// What commands are checked against.
struct Limits {
  uint64_t blocks = 0;  // Of the namespace.
  bool read_only = false;
  bool write_cache = true;  // Otherwise each write is flushed.
};

struct BlockRange {  // In bytes, within the disk.
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct Read : BlockRange {
  DataBuffer data;
};
struct Write : BlockRange {
  DataBuffer data;
  bool flush = false;
};
struct Compare : BlockRange {
  DataBuffer data;
};
struct WriteZeroes : BlockRange {
  bool may_unmap = false;
  bool flush = false;
};
struct Deallocate {
  std::vector<BlockRange> ranges;
};
struct Flush {};
struct Nothing {};  // A hint that is not taken.
struct Refused {
  uint16_t status = 0;
};

using IoCommand = std::variant<Read, Write, Compare, WriteZeroes, Deallocate, Flush, Nothing, Refused>;

IoCommand parse(const Command& command, const memory::GuestMemory& memory, const Limits& limits);
// Whether it may take long, so that what is done should be told before.
bool may_take_long(const IoCommand& command);
// Gives the completion's status.
uint16_t process(IoCommand command, storage::Disk& disk, memory::GuestMemory& memory, Statistics& statistics);

}  // namespace alcove::devices::nvme
