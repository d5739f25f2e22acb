#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/json.h"
#include "config/sample.h"
#include "support/testing/temporary_folder.h"

namespace alcove {
namespace {

using testing::HasSubstr;
using testing::Not;

void write(const std::filesystem::path& file, std::string_view text) {
  std::ofstream(file) << text;
}

TEST(RoundTrip, TomlKeepsEveryMember) {
  const VirtualMachineConfiguration sample = config::full_sample();
  auto read = VirtualMachineConfiguration::from_toml(sample.to_toml());
  ASSERT_TRUE(read) << read.error().message() << "\n" << sample;
  EXPECT_EQ(*read, sample);
}

TEST(RoundTrip, JsonKeepsEveryMember) {
  const VirtualMachineConfiguration sample = config::full_sample();
  auto read = VirtualMachineConfiguration::from_json(sample.to_json());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, sample);
}

// Walks two trees: whatever is a value in one must differ in the other. Guards the sample itself, and with it
// the two tests above: a member that kept its default there would prove nothing.
void expect_all_different(const config::Json& sample, const config::Json& plain, const std::string& path) {
  for (const auto& [name, value] : sample.items()) {
    if (name == "type" || !plain.contains(name)) continue;
    if (value.is_object()) {
      expect_all_different(value, plain[name], fmt::format("{}.{}", path, name));
    } else {
      EXPECT_NE(value, plain[name]) << path << "." << name;
    }
  }
}

TEST(RoundTrip, TheSampleHasNoDefaults) {
  VirtualMachineConfiguration plain{.boot_loader = LinuxBootLoader{}};
  expect_all_different(config::to_tree(config::full_sample()), config::to_tree(plain), "");
  plain.storage_devices = {VirtioBlockDeviceConfiguration{}};
  plain.pointing_devices = {VirtioTrackpadConfiguration{}};
  plain.memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{}};
  const config::Json sample = config::to_tree(config::full_sample());
  const config::Json tree = config::to_tree(plain);
  expect_all_different(sample["storage_devices"][0], tree["storage_devices"][0], "storage");
  expect_all_different(sample["pointing_devices"][0], tree["pointing_devices"][0], "trackpad");
  expect_all_different(sample["memory_balloon_devices"][0], tree["memory_balloon_devices"][0], "balloon");
}

TEST(RoundTrip, DefaultsOfMissingMembers) {
  auto read = VirtualMachineConfiguration::from_toml("[boot_loader]\ntype = 'linux'\nkernel = '/k'\n");
  ASSERT_TRUE(read) << read.error().message();
  VirtualMachineConfiguration expected{.platform = read->platform,
                                       .boot_loader = LinuxBootLoader{.kernel = "/k"}};
  EXPECT_EQ(*read, expected);
}

TEST(RoundTrip, EfiBootLoader) {
  VirtualMachineConfiguration configuration = config::full_sample();
  configuration.boot_loader = EFIBootLoader{.variable_store = {"/srv/efi-variables.fd"},
                                            .firmware = "/usr/share/OVMF/OVMF_CODE_4M.fd"};
  const std::string text = configuration.to_toml();
  EXPECT_THAT(text, HasSubstr("variable_store = { path = \"/srv/efi-variables.fd\" }"));
  const auto from_toml = VirtualMachineConfiguration::from_toml(text);
  ASSERT_TRUE(from_toml) << from_toml.error().message();
  EXPECT_EQ(*from_toml, configuration);
  const auto from_json = VirtualMachineConfiguration::from_json(configuration.to_json());
  ASSERT_TRUE(from_json) << from_json.error().message();
  EXPECT_EQ(*from_json, configuration);
}

TEST(RoundTrip, PrintsAsToml) {
  std::ostringstream out;
  out << config::full_sample();
  EXPECT_THAT(out.str(), HasSubstr("memory_size = \"1536 MiB\"\n"));
  EXPECT_THAT(out.str(), HasSubstr("[[storage_devices]]\ntype = \"virtio_block\"\n"));
  EXPECT_THAT(out.str(), HasSubstr("attachment = { type = \"disk_image\", path = \"/srv/root.img\""));
}

TEST(MachineFile, PathsBelowItsFolderAreRelative) {
  const TemporaryFolder folder;
  VirtualMachineConfiguration configuration = config::full_sample();
  auto& loader = std::get<LinuxBootLoader>(*configuration.boot_loader);
  loader.kernel = folder.path() / "kernel";
  loader.initial_ramdisk = folder.path().parent_path() / "elsewhere";
  const auto file = folder.path() / "machine.toml";
  ASSERT_TRUE(configuration.save(file));
  std::ifstream stream(file);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  EXPECT_THAT(text, HasSubstr("kernel = \"kernel\""));
  EXPECT_THAT(text, HasSubstr("initial_ramdisk = \"" + loader.initial_ramdisk.string() + "\""));
  auto loaded = VirtualMachineConfiguration::load(file);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, configuration);
}

TEST(MachineFile, SavingLeavesNothingElseBehind) {
  const TemporaryFolder folder;
  ASSERT_TRUE(config::full_sample().save(folder.path() / "machine.toml"));
  ASSERT_TRUE(config::full_sample().save(folder.path() / "machine.toml"));
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 1u);
}

TEST(MachineFile, TellsWhyItCannotBeWritten) {
  auto saved = config::full_sample().save("/nonexistent/machine.toml");
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().message(), HasSubstr("No such file"));
}

TEST(MachineFile, RefusesPathsThatTomlCannotHold) {
  const TemporaryFolder folder;
  VirtualMachineConfiguration configuration;
  configuration.boot_loader = LinuxBootLoader{.kernel = "/\xff"};
  auto saved = configuration.save(folder.path() / "machine.toml");
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().message(), HasSubstr("UTF-8"));
}

TEST(MachineFile, ErrorsNameFileLineAndField) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "machine.toml";
  write(file, "cpu_count = 2\n\nmemory = '1 GiB'\n");
  auto loaded = VirtualMachineConfiguration::load(file);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::invalid_virtual_machine_configuration);
  EXPECT_EQ(loaded.error().message(),
            file.string() + ": line 3: memory: there is no such field (did you mean \"memory_size\"?)");
}

TEST(MachineFile, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  auto loaded = VirtualMachineConfiguration::load(folder.path());
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message(), HasSubstr("is not a file"));
  EXPECT_FALSE(VirtualMachineConfiguration::load(folder.path() / "missing"));
}

struct Wrong {
  std::string_view text;
  std::string_view message;
};

class TomlErrors : public testing::TestWithParam<Wrong> {};

TEST_P(TomlErrors, AreExplained) {
  auto read = VirtualMachineConfiguration::from_toml(GetParam().text);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, TomlErrors,
    testing::Values(
        Wrong{"cpus = 2", "line 1: cpus: there is no such field (did you mean \"cpu_count\"?)"},
        Wrong{"cpu_count = 'two'", "line 1: cpu_count: must be a whole number, but is a text"},
        Wrong{"cpu_count = -1", "line 1: cpu_count: is not between 0 and 4294967295"},
        Wrong{"cpu_count = 1.5", "line 1: cpu_count: must be a whole number, but is a fraction"},
        Wrong{"cpu_count = 1979-05-27", "line 1: cpu_count: must be a whole number, but is nothing"},
        Wrong{"memory_size = '4 elephants'",
              "line 1: memory_size: is not a size (like \"4 GiB\", \"512M\" or \"1048576\")"},
        Wrong{"hypervisor = 'xen'", "line 1: hypervisor: there is no \"xen\" (one of auto, kvm, soft)"},
        Wrong{"[boot_loader]\nkernel = 'k'",
              "line 1: boot_loader: has no \"type\" (type is one of linux, efi)"},
        Wrong{"[boot_loader]\ntype = 'lilo'",
              "line 2: boot_loader.type: there is no \"lilo\" (type is one of linux, efi)"},
        Wrong{"[boot_loader]\ntype = 'linux'\nkernel = 'k'\ninitrd = 'i'",
              "line 4: boot_loader.initrd: there is no such field (did you mean \"initial_ramdisk\"?)"},
        Wrong{"storage_devices = 'disk.img'", "line 1: storage_devices: must be a list, but is a text"},
        Wrong{"[[storage_devices]]\ntype = 'virtio_block'\n[[storage_devices]]\ntype = 'virtio_block'\n"
              "attachment = { type = 'disk_image', path = 'p', sync = 'full' }",
              "line 5: storage_devices[1].attachment.sync: there is no such field (did you mean "
              "\"synchronization_mode\"?)"},
        Wrong{"[[network_devices]]\ntype = 'virtio_network'\nmac_address = 'xyz'",
              "line 3: network_devices[0].mac_address: is not a MAC address (like \"52:1a:00:12:34:56\")"},
        Wrong{"a = 1\nb = 2\ncpu_count = 'x'",
              "line 3: cpu_count: must be a whole number, but is a text; and 2 more problems"}));

TEST(TomlErrors, SyntaxErrorsNameTheLine) {
  auto read = VirtualMachineConfiguration::from_toml("cpu_count = 1\nlabel = \"open\n");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().where, "line 2");
}

TEST(JsonErrors, AreValues) {
  EXPECT_FALSE(VirtualMachineConfiguration::from_json(""));
  EXPECT_FALSE(VirtualMachineConfiguration::from_json("[]"));
  EXPECT_FALSE(VirtualMachineConfiguration::from_json("{\"cpu_count\": null}"));
  EXPECT_FALSE(VirtualMachineConfiguration::from_json("{\"label\": \"\xff\"}"));
  EXPECT_FALSE(VirtualMachineConfiguration::from_json(std::string(100000, '[')));
}

TEST(JsonErrors, AreBounded) {
  std::string text = "{";
  for (int i = 0; i < 2000; ++i) text += (i ? ",\"x" : "\"x") + std::to_string(i) + "\":1";
  auto read = VirtualMachineConfiguration::from_json(text + "}");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, HasSubstr("99 more problems"));
  std::string many = "{\"entropy_devices\":[";
  for (int i = 0; i < 2000; ++i) many += i ? ",{}" : "{}";
  EXPECT_THAT(VirtualMachineConfiguration::from_json(many + "]}").error().what,
              HasSubstr("has 2000 elements"));
}

}  // namespace
}  // namespace alcove
