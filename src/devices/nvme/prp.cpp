#include "devices/nvme/prp.h"

#include <algorithm>
#include <cstring>

namespace alcove::devices::nvme {

using namespace spec::nvme;

void DataBuffer::read(std::span<std::byte> out) const {
  for (const iovec& vector : vectors_) {
    const size_t part = std::min(vector.iov_len, out.size());
    std::memcpy(out.data(), vector.iov_base, part);
    out = out.subspan(part);
  }
}

void DataBuffer::write(memory::GuestMemory& memory, std::span<const std::byte> in) {
  for (const iovec& vector : vectors_) {
    const size_t part = std::min(vector.iov_len, in.size());
    std::memcpy(vector.iov_base, in.data(), part);
    in = in.subspan(part);
  }
  mark_written(memory);
}

void DataBuffer::mark_written(memory::GuestMemory& memory) const {
  for (size_t index = 0; index < vectors_.size(); ++index)
    memory.mark_written(addresses_[index], vectors_[index].iov_len);
}

std::expected<DataBuffer, uint16_t> data_buffer(const memory::GuestMemory& memory, uint64_t prp1,
                                                uint64_t prp2, uint64_t size, bool to_guest) {
  DataBuffer buffer;
  const auto add = [&](uint64_t address, uint64_t length) {
    std::byte* const host = memory.buffer(address, length, to_guest);
    if (!host) return false;
    if (!buffer.vectors_.empty()) {
      iovec& last = buffer.vectors_.back();
      if (static_cast<std::byte*>(last.iov_base) + last.iov_len == host &&
          buffer.addresses_.back() + last.iov_len == address) {
        last.iov_len += length;
        return true;
      }
    }
    buffer.vectors_.push_back({.iov_base = host, .iov_len = length});
    buffer.addresses_.push_back(address);
    return true;
  };
  buffer.size_ = size;
  const uint64_t first = std::min(size, kPageSize - prp1 % kPageSize);
  if (prp1 % 4) return std::unexpected(kInvalidPrpOffset);
  if (!add(prp1, first)) return std::unexpected(kDataTransferError);
  uint64_t left = size - first;
  if (left == 0) return buffer;
  if (left <= kPageSize) {
    if (prp2 % kPageSize) return std::unexpected(kInvalidPrpOffset);
    if (!add(prp2, left)) return std::unexpected(kDataTransferError);
    return buffer;
  }
  // A list: entries up to the end of its page, whose last leads to a further list if there are more than fit.
  if (prp2 % sizeof(uint64_t)) return std::unexpected(kInvalidPrpOffset);
  uint64_t list = prp2;
  while (left > 0) {
    const uint64_t room = (kPageSize - list % kPageSize) / sizeof(uint64_t);
    const uint64_t wanted = (left + kPageSize - 1) / kPageSize;
    const bool continues = wanted > room;
    const uint64_t count = std::min(wanted, room);
    std::vector<uint64_t> entries(count);
    if (!memory.read(list, std::as_writable_bytes(std::span(entries))))
      return std::unexpected(kDataTransferError);
    for (uint64_t index = 0; index < count - continues; ++index) {
      const uint64_t part = std::min(left, kPageSize);
      if (entries[index] % kPageSize) return std::unexpected(kInvalidPrpOffset);
      if (!add(entries[index], part)) return std::unexpected(kDataTransferError);
      left -= part;
    }
    if (!continues) break;
    list = entries.back();
    if (list % kPageSize) return std::unexpected(kInvalidPrpOffset);
  }
  return buffer;
}

}  // namespace alcove::devices::nvme
