// The parts of loading a kernel: what each format asks for, and what the loader puts around it.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "boot/file_bytes.h"
#include "boot/linux_boot.h"
#include "spec/linux_boot.h"

namespace alcove::boot {

// Where the loader's own data lie, all below the kernel.
namespace low_memory {
inline constexpr uint64_t kDescriptorTable = 0x500;
inline constexpr uint64_t kStartInfo = 0x1000;  // PVH: the structure, its module, its memory map.
inline constexpr uint64_t kZeroPage = 0x7000;
inline constexpr uint64_t kPageTables = 0x9000;  // Six pages.
inline constexpr uint64_t kCommandLine = 0x20000;
inline constexpr uint64_t kEnd = 0x100000;  // Kernels come at or above.
}  // namespace low_memory

// A piece of the kernel and where it goes.
struct Segment {
  uint64_t address = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
};

enum class Protocol { linux64, linux32, pvh };

// A kernel that was found sound, before anything is written to the guest's memory.
struct LoadPlan {
  Protocol protocol = Protocol::linux64;
  uint64_t entry = 0;
  std::vector<Segment> segments;
  uint64_t end = 0;  // First byte that the kernel does not need while it starts.
  spec::linux_boot::SetupHeader header;
  uint64_t initrd_maximum = 0;  // Highest address of its last byte.
  uint64_t command_line_maximum = kCommandLineMaximum;
};

// `head`: at least the first kBzimageHead bytes of the file of that size, if it has as many.
inline constexpr uint64_t kBzimageHead = 1024;
Result<LoadPlan> plan_bzimage(Bytes head, uint64_t file_size, const memory::GuestMemory& memory);
Result<LoadPlan> plan_vmlinux(Bytes file, const memory::GuestMemory& memory);

// Writes descriptor table, page tables and what the protocol tells the kernel.
struct RamdiskPlace {
  uint64_t address = 0;
  uint64_t size = 0;
};
Result<LinuxEntry> write_boot_data(memory::GuestMemory& memory, const LoadPlan& plan,
                                   const LinuxBootRequest& request, std::optional<RamdiskPlace> ramdisk);

}  // namespace alcove::boot
