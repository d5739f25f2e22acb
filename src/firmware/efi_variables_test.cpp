#include "firmware/efi_variables.h"

#include <gtest/gtest.h>

#include <cstring>

#include "firmware/table.h"
#include "spec/efi_variables.h"

namespace alcove::firmware {
namespace {

using namespace spec::efi;

constexpr Guid kGlobal = {0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11,
                          0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c};
constexpr Guid kEnable = {0xc7, 0x0b, 0xa3, 0xf0, 0x08, 0xaf, 0x56, 0x45,
                          0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44};
constexpr char kGlobalText[] = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
constexpr uint8_t kDeleted = 0x3c;

std::vector<uint8_t> utf16(std::u16string_view text) {
  std::vector<uint8_t> bytes;
  for (const char16_t unit : text) append_value(bytes, static_cast<uint16_t>(unit));
  append_value(bytes, uint16_t{0});
  return bytes;
}

class Store {
 public:
  Store() {
    VolumeHeader volume{.file_system = kVariableVolume,
                        .length = kSize,
                        .signature = kVolumeSignature,
                        .header_length = kHeaderLength,
                        .revision = 2};
    std::vector<uint8_t> header;
    append_value(header, volume);
    header.resize(kHeaderLength);
    uint16_t sum = 0;
    for (size_t i = 0; i < header.size(); i += 2) {
      uint16_t word;
      std::memcpy(&word, header.data() + i, 2);
      sum = static_cast<uint16_t>(sum + word);
    }
    volume.checksum = static_cast<uint16_t>(-sum);
    std::memcpy(header.data(), &volume, sizeof volume);
    append_value(header, StoreHeader{.signature = kAuthenticatedStore,
                                     .size = kSize - kHeaderLength,
                                     .format = kFormatted,
                                     .state = kHealthy});
    bytes = std::move(header);
  }
  Store& add(std::u16string_view name, std::vector<uint8_t> data, const Guid& vendor = kGlobal,
             uint8_t state = kAdded) {
    const std::vector<uint8_t> text = utf16(name);
    append_value(bytes, VariableHeader{.start = kVariableStart,
                                       .state = state,
                                       .attributes = 7,
                                       .name_size = static_cast<uint32_t>(text.size()),
                                       .data_size = static_cast<uint32_t>(data.size()),
                                       .vendor = vendor});
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.insert(bytes.end(), data.begin(), data.end());
    bytes.resize((bytes.size() + 3) / 4 * 4, 0xff);
    return *this;
  }
  std::vector<uint8_t> done() const {
    std::vector<uint8_t> all = bytes;
    all.resize(kSize, 0xff);
    return all;
  }

  static constexpr size_t kSize = 8192, kHeaderLength = 72;
  std::vector<uint8_t> bytes;
};

std::vector<uint8_t> load_option(std::u16string_view description, std::u16string_view file,
                                 uint32_t attributes = 1) {
  std::vector<uint8_t> paths, option;
  const std::vector<uint8_t> text = utf16(file);
  append_value(paths, DevicePathNode{1, 1, 6});  // A device, of which nothing is shown.
  append_value(paths, uint16_t{0});
  append_value(paths, DevicePathNode{kMediaPath, kFilePath, static_cast<uint16_t>(4 + text.size())});
  paths.insert(paths.end(), text.begin(), text.end());
  append_value(paths, DevicePathNode{kEndOfPath, 0xff, 4});
  append_value(option, LoadOption{attributes, static_cast<uint16_t>(paths.size())});
  const std::vector<uint8_t> shown = utf16(description);
  option.insert(option.end(), shown.begin(), shown.end());
  option.insert(option.end(), paths.begin(), paths.end());
  return option;
}

TEST(EfiVariables, ReadsWhatIsValid) {
  const auto variables = parse_variables(
      Store().add(u"Timeout", {3, 0}).add(u"Gone", {1}, kGlobal, kDeleted).add(u"Tür𝄞", {}).done());
  ASSERT_TRUE(variables) << variables.error().message();
  ASSERT_EQ(variables->size(), 2u);
  EXPECT_EQ((*variables)[0],
            (EFIVariable{.name = "Timeout", .vendor = kGlobalText, .attributes = 7, .data = {3, 0}}));
  EXPECT_EQ((*variables)[1].name, "Tür𝄞");
}

// The firmware was stopped at different points of replacing a variable.
TEST(EfiVariables, AnUnfinishedChangeDoesNotCount) {
  constexpr uint8_t kInTransition = kAdded & kInDeletion, kHeaderOnly = 0x7f;
  const auto value = [](const Store& store) {
    const auto variables = parse_variables(store.done());
    EXPECT_TRUE(variables);
    EXPECT_EQ(variables->size(), 1u);
    return variables->at(0).data;
  };
  EXPECT_EQ(value(Store().add(u"A", {1}, kGlobal, kInTransition)), std::vector<uint8_t>{1});
  EXPECT_EQ(value(Store().add(u"A", {1}, kGlobal, kInTransition).add(u"A", {2}, kGlobal, kHeaderOnly)),
            std::vector<uint8_t>{1});
  EXPECT_EQ(value(Store().add(u"A", {1}, kGlobal, kInTransition).add(u"A", {2})), std::vector<uint8_t>{2});
  EXPECT_EQ(value(Store().add(u"A", {2}).add(u"A", {1}, kGlobal, kInTransition)), std::vector<uint8_t>{2});
}

TEST(EfiVariables, BootEntriesAreInTheirOrder) {
  const auto variables =
      parse_variables(Store()
                          .add(u"BootOrder", {2, 0, 9, 0, 0, 0, 2, 0})
                          .add(u"Boot0000", load_option(u"Disk", u""))
                          .add(u"Boot0001", load_option(u"Off", u"\\x.efi", 0))
                          .add(u"Boot0002", load_option(u"debian", u"\\EFI\\debian\\shimx64.efi"))
                          .add(u"Boot00zz", load_option(u"no number", u""))
                          .add(u"Boot0003", {1, 2})
                          .done());
  ASSERT_TRUE(variables);
  const auto entries = boot_entries(*variables);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0], (EFIBootEntry{2, "debian", "\\EFI\\debian\\shimx64.efi", true}));
  EXPECT_EQ(entries[1], (EFIBootEntry{0, "Disk", "", true}));
  EXPECT_EQ(entries[2], (EFIBootEntry{1, "Off", "\\x.efi", false}));
}

TEST(EfiVariables, SecureBootFollowsTheKeys) {
  const auto state = [](const Store& store) { return secure_boot_state(*parse_variables(store.done())); };
  EXPECT_EQ(state(Store()), EFISecureBootState::setup_mode);
  EXPECT_EQ(state(Store().add(u"PK", {1})), EFISecureBootState::enabled);
  EXPECT_EQ(state(Store().add(u"PK", {1}).add(u"SecureBootEnable", {1}, kEnable)),
            EFISecureBootState::enabled);
  EXPECT_EQ(state(Store().add(u"PK", {1}).add(u"SecureBootEnable", {0}, kEnable)),
            EFISecureBootState::disabled);
  EXPECT_EQ(state(Store().add(u"SecureBootEnable", {1}, kEnable)), EFISecureBootState::setup_mode);
}

TEST(EfiVariables, ControlCharactersDoNotReachTerminals) {
  const auto variables = parse_variables(Store().add(u"A\x1b[2J\x9b\xd800", {}).done());
  ASSERT_TRUE(variables);
  EXPECT_EQ((*variables)[0].name, "A\uFFFD[2J\uFFFD\uFFFD");
}

TEST(EfiVariables, RefusesWhatIsNoStore) {
  EXPECT_FALSE(parse_variables({}));
  EXPECT_FALSE(parse_variables(std::vector<uint8_t>(8192)));
  std::vector<uint8_t> bytes = Store().done();
  for (const size_t damaged : {17, 33, 40, 50, 75, 90, 92}) {
    std::vector<uint8_t> copy = bytes;
    copy[damaged] ^= 0x40;
    EXPECT_FALSE(parse_variables(copy)) << damaged;
  }
  bytes.resize(4096);
  EXPECT_FALSE(parse_variables(bytes)) << "cut off";
  Store store;
  store.add(u"A", {1, 2, 3});
  store.bytes[Store::kHeaderLength + sizeof(StoreHeader) + 40 + 3] = 0x70;  // A data size beyond the end.
  EXPECT_FALSE(parse_variables(store.done()));
}

}  // namespace
}  // namespace alcove::firmware
