#include "boot/linux_boot.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>

#include "boot/test_kernels.h"

namespace alcove::boot {
namespace {

namespace lb = spec::linux_boot;
using testing::HasSubstr;

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(bytes.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

class LinuxBootTest : public testing::Test {
 protected:
  void make_memory(uint64_t size) {
    const memory::RegionSpec region{.guest_address = 0, .size = size};
    memory = std::make_unique<memory::GuestMemory>(*memory::GuestMemory::create(std::span(&region, 1)));
  }
  void SetUp() override { make_memory(64 << 20); }

  Result<LinuxEntry> load(std::string_view kernel, std::string_view ramdisk = {}) {
    const UniqueFd kernel_file = file_with(kernel);
    const UniqueFd ramdisk_file = ramdisk.empty() ? UniqueFd() : file_with(ramdisk);
    return load_linux(*memory, {.kernel = kernel_file.get(),
                                .initial_ramdisk = ramdisk_file.get(),
                                .command_line = command_line,
                                .memory_map = map,
                                .rsdp = 0xe1000});
  }
  std::string failure(std::string_view kernel) {
    const auto result = load(kernel);
    return result ? "loaded" : result.error().message();
  }
  template <class T = uint8_t>
  T at(uint64_t address) {
    return memory->load<T>(address).value();
  }
  std::string text(uint64_t address) {
    std::string result;
    for (char c; (c = static_cast<char>(at(address))) != 0; ++address) result += c;
    return result;
  }

  std::unique_ptr<memory::GuestMemory> memory;
  std::string command_line = "console=ttyS0";
  std::vector<MemoryRange> map{{0, 0x9fc00, lb::ram}, {0x100000, 0x3f00000, lb::ram}};
};

TEST_F(LinuxBootTest, BzImageEntersInLongMode) {
  const auto entry = load(make_bzimage(), "070701 ramdisk");
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->mode, EntryMode::long_mode);
  EXPECT_EQ(entry->instruction, 0x1000200u);
  EXPECT_EQ(at(0x1000000), 'K');
  EXPECT_EQ(at(0x100ffff), 'K');
  EXPECT_EQ(at(0x1010000), 0);

  const auto parameters = at<lb::BootParameters>(entry->zero_page);
  EXPECT_EQ(+parameters.header.magic, lb::kHeaderMagic);
  EXPECT_EQ(+parameters.header.type_of_loader, 0xff);
  EXPECT_EQ(+parameters.header.code32_start, 0x1000000u);
  EXPECT_EQ(+parameters.acpi_rsdp_address, 0xe1000u);
  EXPECT_EQ(+parameters.e820_count, 2);
  EXPECT_EQ(+parameters.e820[1].address, 0x100000u);
  EXPECT_EQ(text(parameters.header.command_line), command_line);
  EXPECT_EQ(+parameters.header.initrd_size, 14u);
  EXPECT_EQ(+parameters.header.initrd_address, (64u << 20) - 4096);
  EXPECT_EQ(text(parameters.header.initrd_address), "070701 ramdisk");

  EXPECT_EQ(at<uint64_t>(entry->descriptor_table + entry->code_selector), 0x00af9b000000ffffu);
  EXPECT_EQ(at<uint64_t>(entry->descriptor_table + entry->data_selector), 0x00cf93000000ffffu);
}

TEST_F(LinuxBootTest, PageTablesMapFourGiBOneToOne) {
  const auto entry = load(make_bzimage());
  ASSERT_TRUE(entry);
  for (const uint64_t address : {0x0ull, 0x1000200ull, 0xfee00000ull, 0xffffffffull, 0x80000000ull}) {
    constexpr uint64_t kAddress = 0x000ffffffffff000;
    const auto root = at<uint64_t>(entry->page_table + (address >> 39) * 8);
    const auto pointer = at<uint64_t>((root & kAddress) + (address >> 30 & 511) * 8);
    const auto directory = at<uint64_t>((pointer & kAddress) + (address >> 21 & 511) * 8);
    EXPECT_EQ(root & pointer & 3, 3u);
    EXPECT_EQ(directory & 0x83, 0x83u);
    EXPECT_EQ((directory & kAddress) | (address & 0x1fffff), address);
  }
}

TEST_F(LinuxBootTest, OldKernelEntersInProtectedMode) {
  std::string kernel = make_bzimage(0x205);
  const auto entry = load(kernel);
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->mode, EntryMode::protected_mode);
  EXPECT_EQ(entry->instruction, 0x100000u);
  EXPECT_EQ(at<uint64_t>(entry->descriptor_table + entry->code_selector), 0x00cf9b000000ffffu);
}

TEST_F(LinuxBootTest, RamdiskStaysBelowTheKernelsLimit) {
  std::string kernel = make_bzimage();
  put(kernel, lb::kSetupHeaderOffset + offsetof(lb::SetupHeader, initrd_address_max), uint32_t{0x2ffffff});
  const auto entry = load(kernel, "070701");
  ASSERT_TRUE(entry);
  EXPECT_EQ(+at<lb::BootParameters>(entry->zero_page).header.initrd_address, 0x2fff000u);
}

TEST_F(LinuxBootTest, SmallMachineMovesRelocatableKernel) {
  make_memory(8 << 20);
  const auto entry = load(make_bzimage());
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->instruction, 0x200200u);
  make_memory(2 << 20);
  EXPECT_THAT(failure(make_bzimage()), HasSubstr("memory_size: the kernel needs 2 MiB"));
}

TEST_F(LinuxBootTest, RamdiskMustFitBesideTheKernel) {
  const auto result = load(make_bzimage(), std::string(48 << 20, 'r'));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message(),
              HasSubstr("memory_size: the initial RAM disk of 49 MiB does not fit"));
}

TEST_F(LinuxBootTest, VmlinuxEntersAtItsEntry) {
  const auto entry = load(make_vmlinux(false), "070701");
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->mode, EntryMode::long_mode);
  EXPECT_EQ(entry->instruction, 0x1000100u);
  EXPECT_EQ(at(0x1000000), 'V');
  const auto parameters = at<lb::BootParameters>(entry->zero_page);
  EXPECT_EQ(+parameters.header.boot_flag, lb::kBootFlag);
  EXPECT_EQ(+parameters.header.initrd_size, 6u);
}

TEST_F(LinuxBootTest, VmlinuxWithVirtualEntry) {
  std::string kernel = make_vmlinux(false);
  put(kernel, offsetof(spec::elf::Header64, entry), uint64_t{0xffffffff81000040});
  const auto entry = load(kernel);
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->instruction, 0x1000040u);
}

TEST_F(LinuxBootTest, VmlinuxWithNoteEntersByPvh) {
  const auto entry = load(make_vmlinux(true), "070701");
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->mode, EntryMode::protected_mode);
  EXPECT_EQ(entry->instruction, 0x1000200u);
  EXPECT_EQ(entry->zero_page, 0u);
  const auto info = at<spec::pvh::StartInfo>(entry->start_info);
  EXPECT_EQ(info.magic, 0x336ec578u);
  EXPECT_EQ(info.rsdp, 0xe1000u);
  EXPECT_EQ(text(info.command_line), command_line);
  EXPECT_EQ(info.memory_map_entries, 2u);
  EXPECT_EQ(at<spec::pvh::MemoryMapEntry>(info.memory_map + sizeof(spec::pvh::MemoryMapEntry)).size,
            0x3f00000u);
  ASSERT_EQ(info.module_count, 1u);
  const auto module = at<spec::pvh::Module>(info.modules);
  EXPECT_EQ(module.size, 6u);
  EXPECT_EQ(at(module.address), '0');
}

TEST_F(LinuxBootTest, UnpacksGzipAndZstd) {
  for (const std::string& kernel : {make_bzimage(), make_vmlinux(true)}) {
    EXPECT_TRUE(load(gzip(kernel)));
    EXPECT_TRUE(load(zstd(kernel)));
  }
  EXPECT_THAT(failure(gzip("070701 cpio")), HasSubstr("is an initial RAM disk"));
  EXPECT_THAT(failure(zstd(std::string(100, '\0'))), HasSubstr("is not a Linux kernel"));
}

TEST_F(LinuxBootTest, DamagedCompressionSaysSo) {
  const std::string good = make_bzimage();
  for (const std::string& packed : {gzip(good), zstd(good)}) {
    EXPECT_THAT(failure(packed.substr(0, packed.size() / 2)), HasSubstr("it ends too early"));
    std::string damaged = packed;
    for (size_t i = packed.size() / 2; i < packed.size() / 2 + 20; ++i)
      damaged[i] = static_cast<char>(~damaged[i]);
    EXPECT_THAT(failure(damaged), HasSubstr("stream is damaged"));
  }
}

TEST_F(LinuxBootTest, SaysWhatAWrongFileIs) {
  std::string arm(0x1000, '\0');
  arm.replace(0, 2, "MZ").replace(0x38, 4, "ARM\x64");
  EXPECT_THAT(failure(arm), HasSubstr("is an arm64 kernel"));
  std::string pe(0x1000, '\0');
  pe.replace(0, 2, "MZ");
  EXPECT_THAT(failure(pe), HasSubstr("is a PE program"));
  std::string iso(0x9000, '\0');
  iso.replace(0x8001, 5, "CD001");
  EXPECT_THAT(failure(iso), HasSubstr("is an ISO image"));
  EXPECT_THAT(failure("070701 archive"), HasSubstr("boot_loader.initial_ramdisk"));
  EXPECT_THAT(failure("!<arch>\ndebian-binary"), HasSubstr("Debian package"));
  EXPECT_THAT(failure("hello\n"), HasSubstr("is a text file"));
  EXPECT_THAT(failure(std::string(5000, '\x01')), HasSubstr("is not a Linux kernel"));
  EXPECT_THAT(failure(""), HasSubstr("the file is empty"));
  std::string module = make_vmlinux(false);
  put(module, 16, uint16_t{1});
  EXPECT_THAT(failure(module), HasSubstr("kernel module"));
  put(module, 18, spec::elf::kMachineAArch64);
  EXPECT_THAT(failure(module), HasSubstr("an ELF file for arm64"));

  const UniqueFd folder(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto result = load_linux(*memory, {.kernel = folder.get(), .command_line = {}, .memory_map = map});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, "boot_loader.kernel");
  EXPECT_THAT(result.error().message(), HasSubstr("is a directory"));
}

TEST_F(LinuxBootTest, TruncatedFilesSaySo) {
  const std::string bzimage = make_bzimage();
  for (const size_t size : {size_t{0x210}, size_t{1024}, size_t{1025}, bzimage.size() - 100}) {
    EXPECT_THAT(failure(bzimage.substr(0, size)), HasSubstr("truncated")) << size;
  }
  const std::string vmlinux = make_vmlinux(true);
  for (const size_t size : {size_t{30}, size_t{100}, vmlinux.size() - 1}) {
    EXPECT_THAT(failure(vmlinux.substr(0, size)),
                testing::AnyOf(HasSubstr("truncated"), HasSubstr("beginning")))
        << size;
  }
}

TEST_F(LinuxBootTest, HostileHeaders) {
  std::string low = make_bzimage();
  put(low, lb::kSetupHeaderOffset + offsetof(lb::SetupHeader, preferred_address), uint64_t{0x7000});
  put(low, lb::kSetupHeaderOffset + offsetof(lb::SetupHeader, relocatable), uint8_t{0});
  EXPECT_THAT(failure(low), HasSubstr("memory_size"));
  put(low, lb::kSetupHeaderOffset + offsetof(lb::SetupHeader, preferred_address), ~uint64_t{0} - 5);
  EXPECT_THAT(failure(low), HasSubstr("memory_size"));

  std::string overlapping = make_vmlinux(true);
  const size_t second = sizeof(spec::elf::Header64) + sizeof(spec::elf::ProgramHeader64);
  std::memcpy(overlapping.data() + second, overlapping.data() + sizeof(spec::elf::Header64),
              sizeof(spec::elf::ProgramHeader64));
  put(overlapping, second + offsetof(spec::elf::ProgramHeader64, offset), uint64_t{0});
  put(overlapping, second + offsetof(spec::elf::ProgramHeader64, file_size), uint64_t{0x1800});
  EXPECT_THAT(failure(overlapping), HasSubstr("contradict"));
}

TEST_F(LinuxBootTest, CommandLineIsBounded) {
  command_line = std::string(100, 'x');
  EXPECT_TRUE(load(make_bzimage()));
  command_line += 'x';
  EXPECT_THAT(failure(make_bzimage()),
              HasSubstr("boot_loader.command_line: has 101 bytes; this kernel takes 100"));
}

TEST_F(LinuxBootTest, KernelAsRamdiskIsRefused) {
  const auto result = load(make_bzimage(), make_bzimage());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, "boot_loader.initial_ramdisk");
}

TEST_F(LinuxBootTest, DebianKernel) {
  std::string path;
  if (const char* given = getenv("ALCOVE_TEST_KERNEL")) path = given;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator("/boot", ignored)) {
    if (path.empty() && file.path().filename().string().starts_with("vmlinuz-")) path = file.path();
  }
  const UniqueFd kernel(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!kernel) GTEST_SKIP() << "no kernel in /boot that can be read, and none named by ALCOVE_TEST_KERNEL";
  make_memory(512 << 20);
  const auto entry =
      load_linux(*memory, {.kernel = kernel.get(), .command_line = "quiet", .memory_map = map});
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->mode, EntryMode::long_mode);
}

}  // namespace
}  // namespace alcove::boot
