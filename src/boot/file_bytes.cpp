#include "boot/file_bytes.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "memory/large_pages.h"

namespace alcove::boot {

namespace {
constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;

// Saves page faults. Without effect where the host has none.
void use_large_pages(std::byte* begin, size_t size) {
  constexpr uintptr_t kLargePage = memory::kLargePageSize;
  const auto first = (reinterpret_cast<uintptr_t>(begin) + kLargePage - 1) / kLargePage * kLargePage;
  const auto last = (reinterpret_cast<uintptr_t>(begin) + size) / kLargePage * kLargePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace

bool has_text(Bytes bytes, uint64_t offset, std::string_view text) {
  return offset <= bytes.size() && bytes.size() - offset >= text.size() &&
         std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

Result<uint64_t> file_size(int descriptor, std::string_view field) {
  struct stat status;
  if (fstat(descriptor, &status) < 0) {
    return fail(ErrorCode::internal, std::string(field), fmt::format("fstat: {}", strerror(errno)));
  }
  if (S_ISDIR(status.st_mode))
    return fail(kInvalid, std::string(field), "is a directory", "name a file in it");
  if (!S_ISREG(status.st_mode)) {
    return fail(kInvalid, std::string(field), "is not a regular file", "copy it to a file first");
  }
  if (status.st_size == 0) return fail(kInvalid, std::string(field), "the file is empty");
  return static_cast<uint64_t>(status.st_size);
}

Result<> read_into(int descriptor, std::string_view field, std::span<std::byte> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t count =
        pread(descriptor, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return fail(ErrorCode::internal, std::string(field), fmt::format("can't read: {}", strerror(errno)));
    }
    if (count == 0) {
      return fail(kInvalid, std::string(field), "the file became shorter while it was read");
    }
    done += static_cast<size_t>(count);
  }
  return {};
}

Result<std::vector<std::byte>> read_file(int descriptor, std::string_view field) {
  const Result<uint64_t> size = file_size(descriptor, field);
  if (!size) return std::unexpected(size.error());
  if (*size > kLargestFile) {
    return fail(kInvalid, std::string(field), fmt::format("{} bytes are too large for a kernel", *size),
                "is this a disk image?");
  }
  std::vector<std::byte> bytes;
  bytes.reserve(*size);
  use_large_pages(bytes.data(), *size);
  bytes.resize(*size);
  if (auto read = read_into(descriptor, field, bytes); !read) return std::unexpected(read.error());
  return bytes;
}

}  // namespace alcove::boot
