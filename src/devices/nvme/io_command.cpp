#include "devices/nvme/io_command.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

namespace alcove::devices::nvme {

using namespace spec::nvme;

namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

std::optional<BlockRange> checked_range(uint64_t first, uint64_t count, const Limits& limits) {
  if (first > limits.blocks || count > limits.blocks - first) return std::nullopt;
  return BlockRange{.offset = first * kBlockSize, .size = count * kBlockSize};
}

// The command's blocks: dwords 10 and 11, and 12 less one.
std::optional<BlockRange> blocks_of(const Command& command, const Limits& limits) {
  const uint64_t first = command.dword10 | uint64_t{command.dword11} << 32;
  return checked_range(first, (command.dword12 & 0xffff) + uint64_t{1}, limits);
}

template <class Kind>
IoCommand parse_transfer(const Command& command, const memory::GuestMemory& memory, const Limits& limits,
                         Kind kind, bool to_guest) {
  const auto range = blocks_of(command, limits);
  if (!range) return Refused{kBlockOutOfRange};
  if (range->size > kMaximumTransfer) return Refused{kInvalidField};
  auto data = data_buffer(memory, command.prp1, command.prp2, range->size, to_guest);
  if (!data) return Refused{data.error()};
  static_cast<BlockRange&>(kind) = *range;
  kind.data = std::move(*data);
  return kind;
}

// Section 6.7
IoCommand parse_ranges(const Command& command, const memory::GuestMemory& memory, const Limits& limits) {
  const uint32_t count = (command.dword10 & 0xff) + 1;
  std::vector<DatasetRange> given(count);
  const auto data = data_buffer(memory, command.prp1, command.prp2, count * sizeof(DatasetRange), false);
  if (!data) return Refused{data.error()};
  data->read(std::as_writable_bytes(std::span(given)));
  Deallocate deallocate;
  for (const DatasetRange& range : given) {
    const auto checked = checked_range(range.first_block, range.block_count, limits);
    if (!checked) return Refused{kBlockOutOfRange};
    if (checked->size) deallocate.ranges.push_back(*checked);
  }
  if (!(command.dword11 & kRangesDeallocate)) return Nothing{};
  if (limits.read_only) return Refused{kWriteProtected};
  return deallocate;
}

bool is_known(uint8_t opcode) {
  switch (opcode) {
    case kFlush:
    case kWrite:
    case kRead:
    case kCompare:
    case kWriteZeroes:
    case kDatasetManagement:
      return true;
    default:
      return false;
  }
}

uint16_t read_status(const storage::IoResult& result) {
  return result ? kSuccess : kUnrecoveredReadError;
}

uint16_t write_status(const storage::IoResult& result) {
  if (result) return kSuccess;
  return result.error() == ENOSPC || result.error() == EDQUOT ? kCapacityExceeded : kWriteFault;
}

uint16_t compare(const Compare& command, storage::Disk& disk) {
  const std::unique_ptr<std::byte[]> found(new (std::nothrow) std::byte[command.size]);
  if (!found) return kInternalError;
  const iovec vector{.iov_base = found.get(), .iov_len = command.size};
  if (auto read = disk.read(command.offset, std::span(&vector, 1)); !read) return read_status(read);
  const std::byte* at = found.get();
  for (const iovec& part : command.data.vectors()) {
    if (std::memcmp(at, part.iov_base, part.iov_len) != 0) return kCompareFailure;
    at += part.iov_len;
  }
  return kSuccess;
}

// A write that must be on permanent media, as far as the disk's configuration promises anything, before it is
// done.
uint16_t flushed(const storage::IoResult& written, bool flush, storage::Disk& disk) {
  return write_status(written && flush ? disk.flush() : written);
}

}  // namespace

IoCommand parse(const Command& command, const memory::GuestMemory& memory, const Limits& limits) {
  if (!is_known(command.opcode)) return Refused{kInvalidOpcode};
  if (command.flags & (kCommandUsesSgl | kCommandIsFused)) return Refused{kInvalidField};
  const bool all = command.opcode == kFlush && command.namespace_id == kAllNamespaces;
  if (command.namespace_id != 1 && !all) return Refused{kInvalidNamespace};
  const bool flush = (command.dword12 & kForceUnitAccess) || !limits.write_cache;
  switch (command.opcode) {
    case kFlush:
      return Flush{};
    case kRead:
      return parse_transfer(command, memory, limits, Read{}, true);
    case kCompare:
      return parse_transfer(command, memory, limits, Compare{}, false);
    case kWrite:
      if (limits.read_only) return Refused{kWriteProtected};
      return parse_transfer(command, memory, limits, Write{.flush = flush}, false);
    case kWriteZeroes: {
      if (limits.read_only) return Refused{kWriteProtected};
      const auto range = blocks_of(command, limits);
      if (!range) return Refused{kBlockOutOfRange};
      return WriteZeroes{*range, (command.dword12 & kDeallocate) != 0, flush};
    }
    default:
      return parse_ranges(command, memory, limits);
  }
}

bool may_take_long(const IoCommand& command) {
  const auto* const write = std::get_if<Write>(&command);
  return std::holds_alternative<Flush>(command) || std::holds_alternative<Deallocate>(command) ||
         std::holds_alternative<WriteZeroes>(command) || (write && write->flush);
}

uint16_t process(IoCommand command, storage::Disk& disk, memory::GuestMemory& memory,
                 Statistics& statistics) {
  const uint16_t status =
      std::visit(Overloaded{
                     [&](const Read& read) {
                       const auto result = disk.read(read.offset, read.data.vectors());
                       read.data.mark_written(memory);
                       ++statistics.reads;
                       statistics.blocks_read += read.size / kBlockSize;
                       return read_status(result);
                     },
                     [&](const Write& write) {
                       ++statistics.writes;
                       statistics.blocks_written += write.size / kBlockSize;
                       return flushed(disk.write(write.offset, write.data.vectors()), write.flush, disk);
                     },
                     [&](const Compare& wanted) { return compare(wanted, disk); },
                     [&](const WriteZeroes& zeroes) {
                       return flushed(disk.write_zeroes(zeroes.offset, zeroes.size, zeroes.may_unmap),
                                      zeroes.flush, disk);
                     },
                     [&](const Deallocate& deallocate) {
                       for (const BlockRange& range : deallocate.ranges) {
                         if (auto done = disk.discard(range.offset, range.size); !done)
                           return write_status(done);
                       }
                       return kSuccess;
                     },
                     [&](Flush) { return write_status(disk.flush()); },
                     [&](Nothing) { return kSuccess; },
                     [&](Refused refused) { return refused.status; },
                 },
                 command);
  const bool is_ours =
      !std::holds_alternative<Refused>(command) && status != kSuccess && status != kCompareFailure;
  if (is_ours) ++statistics.errors;
  return status;
}

}  // namespace alcove::devices::nvme
