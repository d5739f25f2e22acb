#include "share/access_list.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace alcove::share {

namespace {

// The attribute's bytes, little-endian.
constexpr uint32_t kVersion = 2;
struct WireEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id;
};
static_assert(sizeof(WireEntry) == 8);
constexpr uint32_t kNoId = UINT32_MAX;
constexpr mode_t kAll = 7;

bool is_named(AccessList::Tag tag) {
  return tag == AccessList::Tag::user || tag == AccessList::Tag::group;
}

}  // namespace

std::optional<AccessList> AccessList::parse(std::span<const std::byte> bytes) {
  uint32_t version = 0;
  if (bytes.size() < sizeof version || (bytes.size() - sizeof version) % sizeof(WireEntry) != 0) return {};
  std::memcpy(&version, bytes.data(), sizeof version);
  if (version != kVersion) return {};
  AccessList list;
  bool has_names = false;
  for (auto rest = bytes.subspan(sizeof version); !rest.empty(); rest = rest.subspan(sizeof(WireEntry))) {
    WireEntry wire{};
    std::memcpy(&wire, rest.data(), sizeof wire);
    const Entry entry{Tag{wire.tag}, wire.permissions, wire.id};
    if (wire.permissions > kAll || !std::has_single_bit(wire.tag) || entry.tag > Tag::others) return {};
    // In the order of the tags; one each, but of those of named users and groups.
    if (!list.entries_.empty()) {
      const Tag before = list.entries_.back().tag;
      if (entry.tag < before || (entry.tag == before && !is_named(entry.tag))) return {};
    }
    has_names |= is_named(entry.tag);
    list.entries_.push_back(entry);
  }
  if (!list.has(Tag::owner) || !list.has(Tag::owning_group) || !list.has(Tag::others)) return {};
  if (has_names && !list.has(Tag::mask)) return {};
  return list;
}

std::vector<std::byte> AccessList::format() const {
  std::vector<std::byte> bytes(sizeof kVersion + entries_.size() * sizeof(WireEntry));
  std::memcpy(bytes.data(), &kVersion, sizeof kVersion);
  size_t at = sizeof kVersion;
  for (const Entry& entry : entries_) {
    const WireEntry wire{std::to_underlying(entry.tag), entry.permissions,
                         is_named(entry.tag) ? entry.id : kNoId};
    std::memcpy(&bytes[at], &wire, sizeof wire);
    at += sizeof wire;
  }
  return bytes;
}

bool AccessList::has(Tag tag) const {
  return std::ranges::find(entries_, tag, &Entry::tag) != entries_.end();
}

// The lowest bit of a mode's three that an entry stands for. The mask, if there is one, stands for the
// group's.
std::optional<unsigned> AccessList::place_in_mode(Tag tag) const {
  switch (tag) {
    case Tag::owner:
      return 6;
    case Tag::owning_group:
      if (has(Tag::mask)) return {};
      return 3;
    case Tag::mask:
      return 3;
    case Tag::others:
      return 0;
    default:
      return {};
  }
}

mode_t AccessList::permissions() const {
  mode_t mode = 0;
  for (const Entry& entry : entries_) {
    if (const auto place = place_in_mode(entry.tag)) mode |= mode_t{entry.permissions} << *place;
  }
  return mode;
}

void AccessList::set_permissions(mode_t mode) {
  for (Entry& entry : entries_) {
    if (const auto place = place_in_mode(entry.tag)) entry.permissions = mode >> *place & kAll;
  }
}

AccessList AccessList::inherited(mode_t mode) const {
  AccessList list = *this;
  list.set_permissions(list.permissions() & mode);
  return list;
}

std::optional<AccessList> AccessList::translated(const Translate& translate) const {
  AccessList list = *this;
  for (Entry& entry : list.entries_) {
    if (!is_named(entry.tag)) continue;
    const auto id = translate(entry.tag, entry.id);
    if (!id) return {};
    entry.id = *id;
  }
  return list;
}

}  // namespace alcove::share
