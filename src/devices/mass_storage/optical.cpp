// What an optical drive answers beyond a disk (MMC-6).
#include <algorithm>
#include <utility>

#include "devices/mass_storage/target.h"

namespace alcove::devices::mass_storage {

using namespace spec::scsi;

namespace {

constexpr uint16_t kProfileCdRom = 0x0008, kProfileDvdRom = 0x0010;
constexpr uint64_t kLargestCd = uint64_t{360} << 10;  // Blocks: what 80 minutes hold.

uint8_t byte(std::span<const std::byte> cdb, size_t index) {
  return index < cdb.size() ? std::to_integer<uint8_t>(cdb[index]) : uint8_t{0};
}
uint16_t allocation_of(std::span<const std::byte> cdb) {
  return static_cast<uint16_t>(byte(cdb, 7) << 8 | byte(cdb, 8));
}
void put(Bytes& bytes, std::initializer_list<unsigned> values) {
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
}
void put_address(Bytes& bytes, uint32_t block, bool as_time) {
  if (!as_time) return put(bytes, {block >> 24, block >> 16 & 0xFF, block >> 8 & 0xFF, block & 0xFF});
  const uint32_t frame = block + 150;  // MMC-6, table 2: minutes, seconds, frames of 1/75 s.
  put(bytes, {0, frame / 75 / 60 & 0xFF, frame / 75 % 60, frame % 75});
}
Command limited(Bytes bytes, size_t allocation) {
  if (bytes.size() > allocation) bytes.resize(allocation);
  return Answer{std::move(bytes)};
}

}  // namespace

// One data track and the lead-out.
Command Target::read_toc(std::span<const std::byte> cdb) const {
  const bool as_time = byte(cdb, 1) & 2;
  const uint8_t format = byte(cdb, 2) & 0xF ? byte(cdb, 2) & 0xF : byte(cdb, 9) >> 6;
  const uint8_t track = byte(cdb, 6);
  const auto last = static_cast<uint32_t>(std::min<uint64_t>(block_count(), 0xFFFFFFFF));
  Bytes bytes;
  if (format == 1) {  // Sessions.
    put(bytes, {0, 10, 1, 1, 0, 0x14, 1, 0});
    put_address(bytes, 0, as_time);
  } else if (format == 0) {
    if (track > 1 && track != 0xAA) return kInvalidField;
    put(bytes, {0, 0, 1, 1});
    if (track <= 1) {
      put(bytes, {0, 0x14, 1, 0});
      put_address(bytes, 0, as_time);
    }
    put(bytes, {0, 0x16, 0xAA, 0});
    put_address(bytes, last, as_time);
    bytes[1] = static_cast<std::byte>(bytes.size() - 2);
  } else {
    return kInvalidField;
  }
  return limited(std::move(bytes), allocation_of(cdb));
}

Command Target::get_configuration() const {
  const uint16_t profile = block_count() > kLargestCd ? kProfileDvdRom : kProfileCdRom;
  const unsigned current = is_ejected() ? 0 : profile;
  Bytes bytes;
  put(bytes, {0, 0, 0, 0, 0, 0, current >> 8, current & 0xFF});
  // Profile list, core, removable medium.
  put(bytes, {0x00, 0x00, 0x03, 8, 0, kProfileDvdRom, current == kProfileDvdRom, 0, 0, kProfileCdRom,
              current == kProfileCdRom, 0});
  put(bytes, {0x00, 0x01, 0x0B, 8, 0, 0, 0, 8, 1, 0, 0, 0});  // USB.
  put(bytes, {0x00, 0x03, 0x0B, 4, 0x29, 0, 0, 0});
  bytes[3] = static_cast<std::byte>(bytes.size() - 4);
  return Answer{std::move(bytes)};
}

Command Target::event_status(std::span<const std::byte> cdb) {
  constexpr unsigned kMediaEvents = 1u << 4;
  if (!(byte(cdb, 1) & 1)) return kInvalidField;  // Only polled.
  Bytes bytes;
  if (byte(cdb, 4) & kMediaEvents) {
    const unsigned event = std::exchange(media_event_, uint8_t{0});
    const unsigned tray = has_medium_ && ejected_ ? 1 : 0;
    put(bytes, {0, 6, 4, kMediaEvents, event, is_ejected() ? tray : 2u, 0, 0});
  } else {
    put(bytes, {0, 2, 0x80, kMediaEvents});
  }
  return limited(std::move(bytes), allocation_of(cdb));
}

Command Target::parse_optical(std::span<const std::byte> cdb) {
  switch (byte(cdb, 0)) {
    case kReadToc:
      return read_toc(cdb);
    case kGetConfiguration:
      return limited(std::get<Answer>(get_configuration()).bytes, allocation_of(cdb));
    case kGetEventStatus:
      return event_status(cdb);
    case kReadDiscInformation: {
      Bytes bytes(34);
      bytes[1] = std::byte{32};
      bytes[2] = std::byte{0x0E};  // Complete, its last session too.
      for (const size_t ones : {3, 4, 5, 6}) bytes[ones] = std::byte{1};
      return limited(std::move(bytes), allocation_of(cdb));
    }
    default:
      return kInvalidOperation;
  }
}

}  // namespace alcove::devices::mass_storage
