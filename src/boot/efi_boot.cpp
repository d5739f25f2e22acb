#include "boot/efi_boot.h"

#include <fmt/format.h>

#include "boot/file_bytes.h"

namespace alcove::boot {

namespace {

constexpr uint64_t kEnd = uint64_t{1} << 32;

}  // namespace

Result<uint64_t> firmware_size(int image, std::string_view field) {
  const auto size = file_size(image, field);
  if (!size) return size;
  if (*size == 0 || *size % memory::kPageSize != 0 || *size > kLargestFirmware) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, std::string(field),
                fmt::format("has {} bytes, which no firmware image has", *size),
                "take an image without its variable store, such as OVMF_CODE_4M.fd");
  }
  return size;
}

Result<> load_firmware(memory::GuestMemory& memory, int image, std::string_view field) {
  const auto size = firmware_size(image, field);
  if (!size) return std::unexpected(size.error());
  std::byte* host = memory.host_range(kEnd - *size, *size);
  if (!host) return fail(ErrorCode::internal, std::string(field), "its place is not in memory");
  if (auto read = read_into(image, field, {host, *size}); !read) return read;
  memory.mark_written(kEnd - *size, *size);
  return {};
}

}  // namespace alcove::boot
