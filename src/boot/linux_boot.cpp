#include "boot/linux_boot.h"

#include <fmt/format.h>

#include <algorithm>

#include "boot/file_bytes.h"
#include "boot/file_kind.h"
#include "boot/load_plan.h"
#include "memory/large_pages.h"

namespace alcove::boot {

namespace {

constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;
constexpr std::string_view kKernel = "boot_loader.kernel";
constexpr std::string_view kRamdisk = "boot_loader.initial_ramdisk";
constexpr std::string_view kCommandLine = "boot_loader.command_line";

// From there in the file to the guest's memory; the bytes.
Result<Bytes> read_to(memory::GuestMemory& memory, uint64_t address, uint64_t size, int descriptor,
                      std::string_view field, uint64_t offset) {
  std::byte* const host = memory.host_range(address, size);
  if (!host) return fail(ErrorCode::internal, std::string(field), "its place is not in memory");
  memory::expect_use(memory, address, size);
  const std::span<std::byte> bytes(host, size);
  if (auto read = read_into(descriptor, field, bytes, offset); !read) return std::unexpected(read.error());
  memory.mark_written(address, size);
  return bytes;
}

// Out of whatever it is packed in. The head alone is read of what can be read to its place directly.
struct KernelFile {
  std::vector<std::byte> bytes;
  uint64_t size = 0;  // More than `bytes` if the rest is in the file.
};

Result<KernelFile> read_kernel(int descriptor) {
  const Result<uint64_t> size = file_size(descriptor, kKernel);
  if (!size) return std::unexpected(size.error());
  std::vector<std::byte> head(std::min(*size, kBzimageHead));
  if (auto read = read_into(descriptor, kKernel, head); !read) return std::unexpected(read.error());
  if (is_bzimage(head)) return KernelFile{std::move(head), *size};

  Result<std::vector<std::byte>> bytes = read_file(descriptor, kKernel);
  for (int depth = 0; bytes && depth < 2; ++depth) {
    auto inside = decompress(*bytes, kKernel);
    if (!inside) return std::unexpected(inside.error());
    if (!*inside) break;
    bytes = std::move(**inside);
  }
  if (!bytes) return std::unexpected(bytes.error());
  const uint64_t unpacked = bytes->size();
  return KernelFile{std::move(*bytes), unpacked};
}

Result<> load_segment(memory::GuestMemory& memory, int descriptor, const KernelFile& kernel,
                      const Segment& segment) {
  if (segment.offset + segment.size > kernel.bytes.size()) {
    const auto read = read_to(memory, segment.address, segment.size, descriptor, kKernel, segment.offset);
    return read ? Result<>() : std::unexpected(read.error());
  }
  memory::expect_use(memory, segment.address, segment.size);
  if (!memory.write(segment.address, Bytes(kernel.bytes).subspan(segment.offset, segment.size)))
    return fail(ErrorCode::internal, std::string(kKernel), "a segment's place is not in memory");
  return {};
}

Result<LoadPlan> plan_kernel(const KernelFile& kernel, const memory::GuestMemory& memory) {
  const Bytes bytes = kernel.bytes;
  if (is_bzimage(bytes)) return plan_bzimage(bytes, kernel.size, memory);
  if (is_elf(bytes)) return plan_vmlinux(bytes, memory);
  FileKind kind = recognise(bytes);
  return fail(kInvalid, std::string(kKernel),
              kind.what.empty() ? "is not a Linux kernel"
                                : fmt::format("is {}, not an x86-64 Linux kernel", kind.what),
              kind.hint);
}

Result<> check_command_line(const std::string& command_line, uint64_t maximum) {
  if (command_line.find('\0') != std::string::npos) {
    return fail(kInvalid, std::string(kCommandLine), "contains a zero byte");
  }
  maximum = std::min<uint64_t>(maximum, kCommandLineMaximum);
  if (command_line.size() > maximum) {
    return fail(kInvalid, std::string(kCommandLine),
                fmt::format("has {} bytes; this kernel takes {}", command_line.size(), maximum));
  }
  return {};
}

// As high as the kernel allows, so that it does not stand in the way.
Result<RamdiskPlace> place_ramdisk(const memory::GuestMemory& memory, const LoadPlan& plan, uint64_t size) {
  const memory::Region* low = memory.find(0, 1);
  const uint64_t memory_end = low ? low->guest_address + low->size : 0;
  const uint64_t top = std::min(plan.initrd_maximum + 1, memory_end);
  const uint64_t bottom = (plan.end + memory::kPageSize - 1) & ~(memory::kPageSize - 1);
  if (size > top || ((top - size) & ~(memory::kPageSize - 1)) < bottom) {
    return fail(
        kInvalid, "memory_size",
        fmt::format("the initial RAM disk of {} MiB does not fit beside the kernel", (size >> 20) + 1),
        "give the machine more memory");
  }
  return RamdiskPlace{(top - size) & ~(memory::kPageSize - 1), size};
}

Result<> load_ramdisk(memory::GuestMemory& memory, int descriptor, const RamdiskPlace& place) {
  const auto bytes = read_to(memory, place.address, place.size, descriptor, kRamdisk, 0);
  if (!bytes) return std::unexpected(bytes.error());
  if (is_bzimage(*bytes) || is_elf(*bytes)) {
    return fail(kInvalid, std::string(kRamdisk), "is a kernel or program, not an initial RAM disk");
  }
  return {};
}

}  // namespace

Result<LinuxEntry> load_linux(memory::GuestMemory& memory, const LinuxBootRequest& request) {
  auto kernel = read_kernel(request.kernel);
  if (!kernel) return std::unexpected(kernel.error());
  const auto plan = plan_kernel(*kernel, memory);
  if (!plan) return std::unexpected(plan.error());
  if (auto line = check_command_line(request.command_line, plan->command_line_maximum); !line) {
    return std::unexpected(line.error());
  }
  std::optional<RamdiskPlace> ramdisk;
  if (request.initial_ramdisk >= 0) {
    const auto size = file_size(request.initial_ramdisk, kRamdisk);
    if (!size) return std::unexpected(size.error());
    const auto place = place_ramdisk(memory, *plan, *size);
    if (!place) return std::unexpected(place.error());
    ramdisk = *place;
    if (auto loaded = load_ramdisk(memory, request.initial_ramdisk, *place); !loaded) {
      return std::unexpected(loaded.error());
    }
  }
  for (const Segment& segment : plan->segments)
    if (auto loaded = load_segment(memory, request.kernel, *kernel, segment); !loaded)
      return std::unexpected(loaded.error());
  return write_boot_data(memory, *plan, request, ramdisk);
}

}  // namespace alcove::boot
