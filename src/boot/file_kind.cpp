#include "boot/file_kind.h"

#include <fmt/format.h>

#include <algorithm>

#include "spec/elf.h"
#include "spec/linux_boot.h"

namespace alcove::boot {

using namespace std::literals;

namespace {

struct Mark {
  uint64_t offset;
  std::string_view text;
  std::string_view what;
  std::string_view hint;
};

constexpr std::string_view kWantX86 = "this machine needs a kernel for x86-64";
constexpr std::string_view kWantKernel = "name the kernel (vmlinuz) here";
constexpr std::string_view kUnpack = "decompress it first; gzip and zstd need no such step";

// The more telling marks come first: an arm64 kernel is also a PE program.
constexpr Mark kMarks[] = {
    {0x38, "ARM\x64", "an arm64 kernel", kWantX86},
    {0x38, "RSC\x05", "a RISC-V kernel", kWantX86},
    {4, "zimg", "a compressed EFI kernel of another architecture", kWantX86},
    {0x8001, "CD001", "an ISO image", "a kernel is a file in it; or use the image as a disk"},
    {0, "070701", "an initial RAM disk (cpio archive)", "give it as boot_loader.initial_ramdisk"},
    {0, "070702", "an initial RAM disk (cpio archive)", "give it as boot_loader.initial_ramdisk"},
    {0, "QFI\xfb", "a qcow2 disk image", kWantKernel},
    {0, "!<arch>\n", "an archive or Debian package", "the kernel is in it, as boot/vmlinuz-…"},
    {0, "\xed\xab\xee\xdb", "an RPM package", "the kernel is in it"},
    {0, "PK\x03\x04", "a zip archive", kWantKernel},
    {0, "hsqs", "a squashfs file system", kWantKernel},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "an xz archive", kUnpack},
    {0, "BZh", "a bzip2 archive", kUnpack},
    {0, "\x04\x22\x4d\x18", "an lz4 archive", kUnpack},
    {0, "\x02\x21\x4c\x18", "an lz4 archive", kUnpack},
    {0, "\x27\x05\x19\x56", "a U-Boot image", kWantX86},
    {0, "ANDROID!", "an Android boot image", "unpack the kernel from it first"},
    {0, "#!", "a script", kWantKernel},
    {257, "ustar", "a tar archive", kWantKernel},
    {0x438, "\x53\xef", "an ext4 file system", kWantKernel},
    {0, "MZ", "a PE program (EFI application) that is no Linux kernel", kWantKernel},
    {510, "\x55\xaa", "a boot sector or disk image", kWantKernel},
};

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case spec::elf::kMachine386:
      return "32-bit x86";
    case spec::elf::kMachineAArch64:
      return "arm64";
    case spec::elf::kMachineRiscV:
      return "RISC-V";
    case spec::elf::kMachineX86_64:
      return "x86-64";
    default:
      return fmt::format("processor type {}", machine);
  }
}

bool is_text(Bytes bytes) {
  const Bytes head = bytes.first(std::min<size_t>(bytes.size(), 512));
  return std::ranges::all_of(head, [](std::byte byte) {
    const auto c = std::to_integer<unsigned char>(byte);
    return c >= 0x80 || (c >= ' ' && c < 0x7f) || c == '\n' || c == '\t' || c == '\r';
  });
}

}  // namespace

bool is_bzimage(Bytes bytes) {
  return has_text(bytes, 510, "\x55\xaa") && has_text(bytes, 0x202, "HdrS");
}

bool is_elf(Bytes bytes) {
  return has_text(bytes, 0,
                  "\x7f"
                  "ELF");
}

FileKind recognise(Bytes bytes) {
  if (is_elf(bytes)) {
    const auto kind = value_at<uint8_t>(bytes, 4);
    const auto machine = value_at<uint16_t>(bytes, 18);
    if (!machine) return {"the beginning of an ELF file", "get the file anew"};
    if (kind == spec::elf::kClass64 && machine == spec::elf::kMachineX86_64) {
      const auto type = value_at<uint16_t>(bytes, 16);
      if (type == 1) return {"an ELF object or kernel module", std::string(kWantKernel)};
      return {"an x86-64 ELF file that is no kernel", std::string(kWantKernel)};
    }
    return {fmt::format("an ELF file for {}", machine_name(*machine)), std::string(kWantX86)};
  }
  for (const Mark& mark : kMarks) {
    if (has_text(bytes, mark.offset, mark.text)) return {std::string(mark.what), std::string(mark.hint)};
  }
  if (is_text(bytes)) return {"a text file", std::string(kWantKernel)};
  return {"", std::string(kWantKernel)};
}

}  // namespace alcove::boot
