#include "devices/mass_storage/target.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

namespace alcove::devices::mass_storage {

using namespace spec::scsi;

namespace {

// Most that one command transfers, as told in the block limits page.
constexpr uint64_t kMaximumTransfer = 16 << 20;
constexpr size_t kMaximumUnmapRanges = 256;

uint64_t big_endian(std::span<const std::byte> bytes, size_t offset, size_t size) {
  uint64_t value = 0;
  for (size_t index = 0; index < size; ++index) {
    value = value << 8 |
            std::to_integer<uint64_t>(offset + index < bytes.size() ? bytes[offset + index] : std::byte{0});
  }
  return value;
}

void put(Bytes& bytes, uint64_t value, size_t size) {
  for (size_t index = size; index-- > 0;) {
    bytes.push_back(index < sizeof value ? static_cast<std::byte>(value >> 8 * index) : std::byte{0});
  }
}

void put_text(Bytes& bytes, std::string_view text, size_t size) {
  for (size_t index = 0; index < size; ++index) {
    bytes.push_back(static_cast<std::byte>(index < text.size() ? text[index] : ' '));
  }
}

Command limited(Bytes bytes, uint64_t allocation) {
  if (bytes.size() > allocation) bytes.resize(allocation);
  return Answer{std::move(bytes)};
}

uint8_t byte(std::span<const std::byte> cdb, size_t index) {
  return static_cast<uint8_t>(big_endian(cdb, index, 1));
}

}  // namespace

Bytes Target::sense_data(const Sense& sense) {  // SPC-4, section 4.5.3: fixed format.
  Bytes bytes(18);
  bytes[0] = std::byte{0x70};
  bytes[2] = std::byte{sense.key};
  bytes[7] = std::byte{10};
  bytes[12] = std::byte{sense.code};
  bytes[13] = std::byte{sense.qualifier};
  return bytes;
}

bool Target::contains(uint64_t block, uint64_t count) const {
  return block <= block_count() && count <= block_count() - block;
}

Command Target::parse(std::span<const std::byte> cdb) {
  const uint8_t operation = byte(cdb, 0);
  // These answer whatever the state of the medium (SPC-4, section 5.3).
  switch (operation) {
    case kInquiry:
      return inquiry(cdb);
    case kRequestSense: {
      const Sense told = std::exchange(sense_, kNoSense);
      return limited(sense_data(told), byte(cdb, 4));
    }
    case kReportLuns: {
      Bytes bytes;
      put(bytes, 8, 4);
      put(bytes, 0, 4 + 8);
      return limited(std::move(bytes), big_endian(cdb, 6, 4));
    }
    case kStartStopUnit:
      return start_stop(cdb);
    case kPreventAllow:
      removal_prevented_ = byte(cdb, 4) & 1;
      return Nothing{};
    case kModeSense6:
    case kModeSense10:
      return mode_sense(cdb);
    case kGetConfiguration:
    case kGetEventStatus:
      if (options_.is_optical) return parse_optical(cdb);
      return kInvalidOperation;
    default:
      break;
  }
  if (attention_) return *std::exchange(attention_, std::nullopt);
  if (ejected_) return kMediumNotPresent;
  switch (operation) {
    case kTestUnitReady:
      return Nothing{};
    case kReadCapacity10:
      return capacity10();
    case kServiceActionIn16:
      if ((byte(cdb, 1) & 0x1F) != kActionReadCapacity16 || options_.is_optical) return kInvalidField;
      return limited(std::get<Answer>(capacity16()).bytes, big_endian(cdb, 10, 4));
    case kReadFormatCapacities: {
      Bytes bytes;
      put(bytes, 8, 4);
      put(bytes, std::min<uint64_t>(block_count(), std::numeric_limits<uint32_t>::max()), 4);
      put(bytes, 2u << 24 | block_size(), 4);  // Formatted medium.
      return limited(std::move(bytes), big_endian(cdb, 7, 2));
    }
    case kRead6:
    case kRead10:
    case kRead12:
    case kRead16:
      return transfer(cdb, false);
    case kWrite6:
    case kWrite10:
    case kWrite12:
    case kWrite16:
      return transfer(cdb, true);
    case kVerify10:
    case kVerify16: {
      if (byte(cdb, 1) & 0x06) return kInvalidField;  // Comparing with bytes of the host's.
      const bool is_long = operation == kVerify16;
      const uint64_t block = big_endian(cdb, 2, is_long ? 8 : 4);
      if (!contains(block, is_long ? big_endian(cdb, 10, 4) : big_endian(cdb, 7, 2))) return kOutOfRange;
      return Nothing{};
    }
    case kSynchronizeCache10:
    case kSynchronizeCache16:
      return Flush{};
    case kUnmap:
      if (is_read_only()) return options_.is_optical ? kInvalidOperation : kWriteProtected;
      if (big_endian(cdb, 7, 2) == 0) return Nothing{};
      return Parameters{.size = big_endian(cdb, 7, 2)};
    default:
      return options_.is_optical ? parse_optical(cdb) : Command{kInvalidOperation};
  }
}

Command Target::inquiry(std::span<const std::byte> cdb) const {
  const uint64_t allocation = big_endian(cdb, 3, 2);
  if (byte(cdb, 1) & 1) {
    Command page = product_data(byte(cdb, 2));
    if (auto* answer = std::get_if<Answer>(&page)) return limited(std::move(answer->bytes), allocation);
    return page;
  }
  if (byte(cdb, 2) != 0) return kInvalidField;
  Bytes bytes;
  put(bytes, options_.is_optical ? kTypeOptical : kTypeDisk, 1);
  put(bytes, 0x80, 1);  // Removable.
  put(bytes, 0x06, 1);  // SPC-4.
  put(bytes, 0x02, 1);  // The format of this.
  put(bytes, 31, 1);
  put(bytes, 0, 2);
  put(bytes, 0x02, 1);  // Command queuing.
  put_text(bytes, "Alcove", 8);
  put_text(bytes, options_.is_optical ? "CD-ROM" : "USB Disk", 16);
  put_text(bytes, "1.0", 4);
  return limited(std::move(bytes), allocation);
}

Command Target::product_data(uint8_t page) const {  // SPC-4, section 7.8; SBC-3, section 6.5.
  Bytes body;
  switch (page) {
    case 0x00:
      for (const uint8_t known : {0x00, 0x80, 0x83}) put(body, known, 1);
      if (!options_.is_optical) {
        for (const uint8_t known : {0xB0, 0xB1, 0xB2}) put(body, known, 1);
      }
      break;
    case 0x80:
      put_text(body, options_.serial, options_.serial.size());
      break;
    case 0x83: {  // A T10 designator: vendor and serial.
      Bytes name;
      put_text(name, "Alcove", 8);
      put_text(name, options_.serial, std::min<size_t>(options_.serial.size(), 200));
      put(body, 0x02, 1);  // ASCII.
      put(body, 0x01, 1);
      put(body, 0, 1);
      put(body, name.size(), 1);
      body.insert(body.end(), name.begin(), name.end());
      break;
    }
    case 0xB0: {
      if (options_.is_optical) return kInvalidField;
      put(body, 0, 2);
      put(body, 8, 2);  // Granularity, in blocks.
      put(body, kMaximumTransfer / block_size(), 4);
      put(body, 0, 4 + 4);
      put(body, is_read_only() ? 0 : std::numeric_limits<uint32_t>::max(), 4);
      put(body, is_read_only() ? 0 : kMaximumUnmapRanges, 4);
      put(body, 8, 4);  // Granularity of UNMAP.
      body.resize(60);
      break;
    }
    case 0xB1:
      if (options_.is_optical) return kInvalidField;
      put(body, 1, 2);  // Does not rotate.
      body.resize(60);
      break;
    case 0xB2:
      if (options_.is_optical) return kInvalidField;
      put(body, 0, 1);
      put(body, is_read_only() ? 0 : 0x80, 1);  // UNMAP is supported.
      put(body, 2, 1);                          // Thin.
      put(body, 0, 1);
      break;
    default:
      return kInvalidField;
  }
  Bytes bytes;
  put(bytes, options_.is_optical ? kTypeOptical : kTypeDisk, 1);
  put(bytes, page, 1);
  put(bytes, body.size(), 2);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return Answer{std::move(bytes)};
}

Command Target::mode_sense(std::span<const std::byte> cdb) const {  // SPC-4, section 7.5.
  const bool is_long = byte(cdb, 0) == kModeSense10;
  const uint8_t page = byte(cdb, 2) & 0x3F;
  const uint8_t control = byte(cdb, 2) >> 6;
  if (control == 3) return Sense{0x5, 0x39, 0x00};  // Saved values.
  Bytes pages;
  const auto wants = [&](uint8_t one) { return page == one || page == 0x3F; };
  bool known = page == 0x3F;
  if (wants(0x08) && !options_.is_optical) {  // Caching: what is written is cached; nobody changes that.
    known = true;
    Bytes caching(20);
    caching[0] = std::byte{0x08};
    caching[1] = std::byte{18};
    if (control != 1 && !is_read_only()) caching[2] = std::byte{0x04};
    pages.insert(pages.end(), caching.begin(), caching.end());
  }
  if (wants(0x1C)) {
    known = true;
    Bytes exceptions(12);
    exceptions[0] = std::byte{0x1C};
    exceptions[1] = std::byte{10};
    pages.insert(pages.end(), exceptions.begin(), exceptions.end());
  }
  if (wants(0x2A) && options_.is_optical) {  // MMC capabilities: plays, ejects, locks.
    known = true;
    Bytes capabilities(22);
    capabilities[0] = std::byte{0x2A};
    capabilities[1] = std::byte{20};
    if (control != 1) capabilities[6] = std::byte{0x29};
    pages.insert(pages.end(), capabilities.begin(), capabilities.end());
  }
  if (!known) return kInvalidField;
  const uint8_t specific = options_.is_optical ? 0 : static_cast<uint8_t>((is_read_only() ? 0x80 : 0) | 0x10);
  Bytes bytes;
  if (is_long) {
    put(bytes, pages.size() + 6, 2);
    put(bytes, 0, 1);
    put(bytes, specific, 1);
    put(bytes, 0, 4);
  } else {
    put(bytes, pages.size() + 3, 1);
    put(bytes, 0, 1);
    put(bytes, specific, 1);
    put(bytes, 0, 1);
  }
  bytes.insert(bytes.end(), pages.begin(), pages.end());
  return limited(std::move(bytes), is_long ? big_endian(cdb, 7, 2) : big_endian(cdb, 4, 1));
}

Command Target::capacity10() const {
  Bytes bytes;
  put(bytes, std::min<uint64_t>(block_count() - 1, std::numeric_limits<uint32_t>::max()), 4);
  put(bytes, block_size(), 4);
  return Answer{std::move(bytes)};
}

Command Target::capacity16() const {
  Bytes bytes;
  put(bytes, block_count() - 1, 8);
  put(bytes, block_size(), 4);
  put(bytes, 0, 1);
  put(bytes, 3, 1);                             // Eight blocks are a physical one.
  put(bytes, is_read_only() ? 0 : 0x80'00, 2);  // Thin provisioning.
  bytes.resize(32);
  return Answer{std::move(bytes)};
}

Command Target::start_stop(std::span<const std::byte> cdb) {
  const uint8_t what = byte(cdb, 4);
  if ((what >> 4) != 0 || !(what & 2)) return Nothing{};  // Power conditions; spinning up and down.
  const bool loads = what & 1;
  if (!loads && removal_prevented_) return kRemovalPrevented;
  ejected_ = !loads || !has_medium_;
  if (loads) return Nothing{};
  return is_read_only() ? Command{Nothing{}} : Command{Flush{}};
}

void Target::change_medium(std::optional<uint64_t> size) {
  size_ = size.value_or(0);
  has_medium_ = size.has_value();
  ejected_ = !has_medium_;
  removal_prevented_ = false;
  media_event_ = has_medium_ ? kEventNewMedium : kEventMediumRemoved;
  attention_ = has_medium_ ? std::optional(kMediumChanged) : std::nullopt;
}

Command Target::transfer(std::span<const std::byte> cdb, bool writes) const {
  uint64_t block = 0, count = 0;
  bool to_medium = byte(cdb, 1) & 0x08;
  switch (byte(cdb, 0)) {
    case kRead6:
    case kWrite6:
      block = big_endian(cdb, 1, 3) & 0x1FFFFF;
      count = byte(cdb, 4) ? byte(cdb, 4) : 256;
      to_medium = false;
      break;
    case kRead10:
    case kWrite10:
      block = big_endian(cdb, 2, 4);
      count = big_endian(cdb, 7, 2);
      break;
    case kRead12:
    case kWrite12:
      block = big_endian(cdb, 2, 4);
      count = big_endian(cdb, 6, 4);
      break;
    default:
      block = big_endian(cdb, 2, 8);
      count = big_endian(cdb, 10, 4);
      break;
  }
  if (writes && is_read_only()) return kWriteProtected;
  if (!contains(block, count)) return kOutOfRange;
  const Range range{.offset = block * block_size(), .size = count * block_size()};
  if (count == 0) return Nothing{};
  if (range.size > kMaximumTransfer) return kInvalidField;
  if (writes) return Write{range, to_medium};
  return Read{range};
}

std::expected<std::vector<Range>, Sense> Target::unmap(std::span<const std::byte> parameters) const {
  std::vector<Range> ranges;
  if (parameters.size() < 8) return ranges;
  const size_t size = std::min<size_t>(big_endian(parameters, 2, 2), parameters.size() - 8);
  if (size / 16 > kMaximumUnmapRanges) return std::unexpected(kInvalidParameter);
  for (size_t at = 8; at + 16 <= 8 + size; at += 16) {
    const uint64_t block = big_endian(parameters, at, 8);
    const uint64_t count = big_endian(parameters, at + 8, 4);
    if (!contains(block, count)) return std::unexpected(kOutOfRange);
    if (count != 0) ranges.push_back({.offset = block * block_size(), .size = count * block_size()});
  }
  return ranges;
}

}  // namespace alcove::devices::mass_storage
