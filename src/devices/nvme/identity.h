// What the controller tells of itself: identification (NVM Express 1.4, section 5.15) and log pages (5.14).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/nvme/options.h"
#include "storage/disk.h"

namespace alcove::devices::nvme {

using Page = std::array<std::byte, 4096>;

// What happened since power-on. Any thread.
struct Statistics {
  std::atomic<uint64_t> blocks_read = 0;
  std::atomic<uint64_t> blocks_written = 0;
  std::atomic<uint64_t> reads = 0;
  std::atomic<uint64_t> writes = 0;
  std::atomic<uint64_t> errors = 0;  // Commands that the host failed.
};

// Nothing for a structure or namespace that there is not: `status` says which.
std::optional<Page> identify(uint8_t what, uint32_t namespace_id, const Options& options,
                             const storage::Disk& disk, uint16_t& status);

// Nothing for an unknown page.
std::optional<std::vector<std::byte>> log_page(uint8_t which, const Statistics& statistics,
                                               bool namespace_changed);

}  // namespace alcove::devices::nvme
