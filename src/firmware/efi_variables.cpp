#include "firmware/efi_variables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include "spec/efi_variables.h"

namespace alcove::firmware {

using namespace spec::efi;

namespace {

constexpr std::string_view kGlobal = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
constexpr std::string_view kSecureBootEnable = "f0a30bc7-af08-4556-99c4-001009c93a44";  // EDK II's own.

using Bytes = std::span<const uint8_t>;

template <class T>
std::optional<T> value_at(Bytes bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string guid_text(const Guid& guid) {
  return fmt::format("{:02x}{:02x}{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}", guid[3],
                     guid[2], guid[1], guid[0], guid[5], guid[4], guid[7], guid[6], guid[8], guid[9],
                     fmt::join(guid.begin() + 10, guid.end(), ""));
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xe0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    text += static_cast<char>(0xf0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// Up to the first zero or the end. What is no UTF-16, and control characters, which would steer terminals,
// become U+FFFD.
std::string text_of(Bytes utf16, size_t* size = nullptr) {
  constexpr uint32_t kReplacement = 0xfffd;
  std::string text;
  size_t at = 0;
  for (; const auto unit = value_at<uint16_t>(utf16, at); at += 2) {
    uint32_t code = *unit;
    if (code == 0) {
      at += 2;
      break;
    }
    if (code >= 0xd800 && code < 0xdc00) {
      const auto low = value_at<uint16_t>(utf16, at + 2);
      if (low && *low >= 0xdc00 && *low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (*low - 0xdc00u);
        at += 2;
      }
    }
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    append_utf8(text, control || (code >= 0xd800 && code < 0xe000) ? kReplacement : code);
  }
  if (size) *size = at;
  return text;
}

std::unexpected<Error> not_a_store(std::string what) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "", std::move(what),
              "take a file that EFIVariableStore::create() or `alcove` made");
}

// The part of the volume that holds variables.
Result<Bytes> find_store(Bytes bytes) {
  const auto volume = value_at<VolumeHeader>(bytes, 0);
  if (!volume || volume->signature != kVolumeSignature || volume->file_system != kVariableVolume)
    return not_a_store("is not a variable store of EFI firmware");
  if (volume->length > bytes.size() || volume->header_length > bytes.size() || volume->header_length % 2 != 0)
    return not_a_store("is a variable store that was cut off");
  uint16_t sum = 0;
  for (size_t at = 0; at < volume->header_length; at += 2)
    sum = static_cast<uint16_t>(sum + *value_at<uint16_t>(bytes, at));
  if (sum != 0) return not_a_store("is a variable store with a damaged header");
  const auto store = value_at<StoreHeader>(bytes, volume->header_length);
  if (!store || store->signature != kAuthenticatedStore || store->format != kFormatted ||
      store->state != kHealthy)
    return not_a_store("is a variable store of a kind that is not known, or in the middle of a change");
  if (store->size < sizeof(StoreHeader) || store->size > bytes.size() - volume->header_length)
    return not_a_store("is a variable store with a damaged header");
  return bytes.subspan(volume->header_length, store->size);
}

const EFIVariable* find(std::span<const EFIVariable> variables, std::string_view vendor,
                        std::string_view name) {
  const auto found = std::ranges::find_if(variables, [&](const EFIVariable& variable) {
    return variable.vendor == vendor && variable.name == name;
  });
  return found == variables.end() ? nullptr : &*found;
}

// The number in "Boot001A"; nothing for other names.
std::optional<uint16_t> boot_number(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (name.size() != 8 || !name.starts_with("Boot")) return std::nullopt;
  unsigned number = 0;
  for (const char digit : name.substr(4)) {
    const size_t value = kDigits.find(digit);
    if (value == kDigits.npos) return std::nullopt;
    number = number << 4 | static_cast<unsigned>(value);
  }
  return static_cast<uint16_t>(number);
}

std::string file_of(Bytes paths) {
  while (const auto node = value_at<DevicePathNode>(paths, 0)) {
    if (node->type == kEndOfPath || node->length < sizeof *node || node->length > paths.size()) break;
    if (node->type == kMediaPath && node->subtype == kFilePath)
      return text_of(paths.first(node->length).subspan(sizeof *node));
    paths = paths.subspan(node->length);
  }
  return "";
}

std::optional<EFIBootEntry> boot_entry(const EFIVariable& variable) {
  const auto number = boot_number(variable.name);
  const auto option = value_at<LoadOption>(variable.data, 0);
  if (variable.vendor != kGlobal || !number || !option) return std::nullopt;
  const Bytes rest = Bytes(variable.data).subspan(sizeof *option);
  size_t description_size = 0;
  EFIBootEntry entry{.number = *number,
                     .description = text_of(rest, &description_size),
                     .active = (option->attributes & kLoadOptionActive) != 0};
  const Bytes paths = rest.subspan(std::min(description_size, rest.size()));
  entry.file = file_of(paths.first(std::min<size_t>(option->paths_length, paths.size())));
  return entry;
}

}  // namespace

Result<std::vector<EFIVariable>> parse_variables(std::span<const uint8_t> bytes) {
  const auto store = find_store(bytes);
  if (!store) return std::unexpected(store.error());
  std::vector<EFIVariable> found;
  struct Place {
    size_t index;
    bool in_deletion;
  };
  std::map<std::pair<std::string, std::string>, Place> places;
  uint64_t at = sizeof(StoreHeader);
  while (const auto header = value_at<VariableHeader>(*store, at)) {
    if (header->start != kVariableStart) break;  // Behind the last one, flash is erased.
    const uint64_t name = at + sizeof *header;
    const uint64_t data = name + header->name_size, end = data + header->data_size;
    if (end > store->size()) {
      // An erased size field: the firmware was stopped before it had written the header.
      if (header->state == 0xff) break;
      return not_a_store("has a variable that reaches beyond its end");
    }
    const bool added = header->state == kAdded, deleting = header->state == (kAdded & kInDeletion);
    if (added || deleting) {
      const Bytes value = store->subspan(data, header->data_size);
      EFIVariable variable{.name = text_of(store->subspan(name, header->name_size)),
                           .vendor = guid_text(header->vendor),
                           .attributes = header->attributes,
                           .data = {value.begin(), value.end()}};
      // A variable that is being replaced counts as long as its successor is not there.
      const auto [place, is_new] =
          places.try_emplace({variable.vendor, variable.name}, Place{found.size(), deleting});
      if (is_new) {
        found.push_back(std::move(variable));
      } else if (place->second.in_deletion) {
        found[place->second.index] = std::move(variable);
        place->second.in_deletion = deleting;
      }
    }
    at = (end + kVariableAlignment - 1) / kVariableAlignment * kVariableAlignment;
  }
  return found;
}

std::vector<EFIBootEntry> boot_entries(std::span<const EFIVariable> variables) {
  std::vector<EFIBootEntry> entries;
  for (const EFIVariable& variable : variables) {
    if (auto entry = boot_entry(variable)) entries.push_back(*std::move(entry));
  }
  std::ranges::sort(entries, {}, &EFIBootEntry::number);
  const EFIVariable* order = find(variables, kGlobal, "BootOrder");
  if (!order) return entries;
  size_t next = 0;
  for (size_t at = 0; const auto number = value_at<uint16_t>(order->data, at); at += 2) {
    const auto rest = entries.begin() + static_cast<ptrdiff_t>(next);
    const auto entry = std::ranges::find(rest, entries.end(), *number, &EFIBootEntry::number);
    if (entry == entries.end()) continue;
    std::rotate(rest, entry, entry + 1);
    ++next;
  }
  return entries;
}

EFISecureBootState secure_boot_state(std::span<const EFIVariable> variables) {
  if (!find(variables, kGlobal, "PK")) return EFISecureBootState::setup_mode;
  const EFIVariable* enable = find(variables, kSecureBootEnable, "SecureBootEnable");
  // Firmware enables it by itself when a platform key is enrolled.
  const bool off = enable && enable->data == std::vector<uint8_t>{0};
  return off ? EFISecureBootState::disabled : EFISecureBootState::enabled;
}

}  // namespace alcove::firmware

namespace alcove {

std::string_view to_string(EFISecureBootState state) {
  switch (state) {
    case EFISecureBootState::setup_mode:
      return "setup mode";
    case EFISecureBootState::disabled:
      return "disabled";
    case EFISecureBootState::enabled:
      return "enabled";
  }
  return "";
}

}  // namespace alcove
