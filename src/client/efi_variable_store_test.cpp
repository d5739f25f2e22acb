#include "client/efi_variable_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "client/image_lock.h"
#include "support/testing/temporary_folder.h"

namespace alcove {
namespace {

using testing::HasSubstr;

// The smallest store that counts as one: a volume with a store that has no variables.
std::string empty_store() {
  std::string bytes(8192, '\xff');
  const auto put = [&](size_t at, std::string_view text) { bytes.replace(at, text.size(), text); };
  put(0, std::string(72, '\0'));
  put(16, std::string_view("\x8d\x2b\xf1\xff\x96\x76\x8b\x4c\xa9\x85\x27\x47\x07\x5b\x4f\x50", 16));
  put(32, std::string_view("\0\x20\0\0\0\0\0\0_FVH", 12));
  bytes[48] = 72;
  uint16_t sum = 0;
  for (size_t at = 0; at < 72; at += 2)
    sum = static_cast<uint16_t>(sum + static_cast<uint8_t>(bytes[at]) +
                                (static_cast<uint8_t>(bytes[at + 1]) << 8));
  bytes[50] = static_cast<char>(-sum & 0xff);
  bytes[51] = static_cast<char>(-sum >> 8 & 0xff);
  put(72, std::string_view("\x78\x2c\xf3\xaa\x7b\x94\x9a\x43\xa1\x80\x2e\x14\x4e\xc3\x77\x92", 16));
  put(88, std::string_view("\0\x10\0\0\x5a\xfe\0\0\0\0\0\0", 12));
  return bytes;
}

class VariableStore : public testing::Test {
 protected:
  VariableStore() {
    firmware = folder / "FIRMWARE_CODE.fd";
    std::ofstream(firmware) << std::string(4096, 'c');
    std::ofstream(folder / "FIRMWARE_VARS.fd") << empty_store();
  }

  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  std::filesystem::path firmware;
};

TEST_F(VariableStore, IsMadeOnce) {
  const auto path = folder / "store.fd";
  const auto made = EFIVariableStore::create(path, {.firmware = firmware});
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->path, path);
  const auto again = EFIVariableStore::create(path, {.firmware = firmware});
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message(), HasSubstr("is there already"));
  std::ofstream(path) << "ruined";
  EXPECT_FALSE(EFIVariableStore::open(path));
  ASSERT_TRUE(EFIVariableStore::create(path, {.allow_overwrite = true, .firmware = firmware}));
  const auto opened = EFIVariableStore::open(path);
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->variables()->size(), 0u);
  EXPECT_EQ(opened->boot_entries()->size(), 0u);
  EXPECT_EQ(opened->secure_boot_state(), EFISecureBootState::setup_mode);
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++files;
  EXPECT_EQ(files, 3u) << "nothing is left behind";
}

TEST_F(VariableStore, HasKeysWhereTheFirmwareComesWithSome) {
  const auto path = folder / "store.fd";
  const auto none = EFIVariableStore::create(path, {.secure_boot = true, .firmware = firmware});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_supported);
  EXPECT_THAT(none.error().message(), HasSubstr("no variable store with keys"));
  EXPECT_FALSE(std::filesystem::exists(path));
  for (const char* name : {"FIRMWARE_VARS.ms.fd", "FIRMWARE_VARS.secboot.fd"}) {
    std::string bytes = empty_store();
    bytes.back() = name[14];  // Behind the variables.
    std::ofstream(folder / name) << bytes;
    ASSERT_TRUE(
        EFIVariableStore::create(path, {.allow_overwrite = true, .secure_boot = true, .firmware = firmware}));
    std::ifstream made(path);
    EXPECT_EQ(std::string(std::istreambuf_iterator(made), {}), bytes) << name;
    std::filesystem::remove(folder / name);
  }
}

TEST_F(VariableStore, IsNotTakenFromAMachineThatRuns) {
  const auto path = folder / "store.fd";
  ASSERT_TRUE(EFIVariableStore::create(path, {.firmware = firmware}));
  const UniqueFd held(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(client::lock_image(held.get(), true, path));
  const auto made = EFIVariableStore::create(path, {.allow_overwrite = true, .firmware = firmware});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message(), HasSubstr("in use"));
}

TEST_F(VariableStore, NeedsFirmwareWithAnEmptyStore) {
  std::filesystem::remove(folder / "FIRMWARE_VARS.fd");
  const auto made = EFIVariableStore::create(folder / "store.fd", {.firmware = firmware});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::not_supported);
  EXPECT_EQ(client::temporary_variable_store(firmware).error().code, ErrorCode::not_supported);
}

TEST_F(VariableStore, NamesWhatIsNoStore) {
  const auto missing = EFIVariableStore::open(folder / "missing");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("can't open"));
  EXPECT_FALSE(EFIVariableStore::open(firmware));
  EXPECT_FALSE(EFIVariableStore::open(folder));
}

TEST_F(VariableStore, InMemoryIsTheEmptyOne) {
  const auto file = client::temporary_variable_store(firmware);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(client::read_variable_store(file->get())->size(), 8192u);
}

}  // namespace
}  // namespace alcove
