#include "client/efi_variable_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "client/image_lock.h"
#include "config/efi_firmware.h"
#include "firmware/efi_variables.h"

namespace alcove {

namespace {

constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;

std::unexpected<Error> cannot(std::string_view doing, const std::filesystem::path& path) {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::out_of_disk_space : kInvalid;
  return fail(code, "path", fmt::format("can't {} {}: {}", doing, path.string(), std::strerror(errno)));
}

Result<std::vector<uint8_t>> template_for(const std::filesystem::path& firmware, bool secure_boot = false) {
  auto found = config::find_efi_firmware(firmware);
  if (!found) return std::unexpected(found.error());
  if (secure_boot) {
    found->variables = config::enrolled_variables(found->variables);
    if (found->variables.empty()) {
      return fail(
          ErrorCode::not_supported, "firmware",
          fmt::format("{} has no variable store with keys beside it", found->code.string()),
          "install firmware with one (Debian: OVMF_VARS_4M.ms.fd, package ovmf), or enrol keys in the "
          "firmware's setup menu");
    }
  }
  UniqueFd file(::open(found->variables.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return fail(ErrorCode::not_supported, "firmware",
                fmt::format("{} has no empty variable store beside it ({})", found->code.string(),
                            found->variables.empty() ? "no name for it" : found->variables.string()),
                "install the whole firmware package");
  }
  auto bytes = client::read_variable_store(file.get());
  if (!bytes) bytes.error().where = "firmware";
  return bytes;
}

bool write_all(int descriptor, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace

namespace client {

Result<std::vector<uint8_t>> read_variable_store(int descriptor) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
    return fail(kInvalid, "", "is not a file");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size == 0 || size % 4096 != 0 || size > kLargestVariableStore)
    return fail(kInvalid, "", "is not a variable store of EFI firmware");
  std::vector<uint8_t> bytes(size);
  for (uint64_t done = 0; done < size;) {
    const ssize_t count = ::pread(descriptor, bytes.data() + done, size - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail(kInvalid, "", "can't be read");
    done += static_cast<uint64_t>(count);
  }
  if (auto parsed = firmware::parse_variables(bytes); !parsed) return std::unexpected(parsed.error());
  return bytes;
}

Result<UniqueFd> temporary_variable_store(const std::filesystem::path& firmware) {
  const auto bytes = template_for(firmware);
  if (!bytes) return std::unexpected(bytes.error());
  UniqueFd file(::memfd_create("alcove variables", MFD_CLOEXEC));
  if (!file || !write_all(file.get(), *bytes))
    return fail(ErrorCode::internal, "",
                fmt::format("can't make a file in memory: {}", std::strerror(errno)));
  return file;
}

}  // namespace client

// The file appears with all of its contents or not at all.
Result<EFIVariableStore> EFIVariableStore::create(const std::filesystem::path& path,
                                                  const EFIVariableStoreCreationOptions& options) {
  const auto bytes = template_for(options.firmware, options.secure_boot);
  if (!bytes) return std::unexpected(bytes.error());
  std::error_code error;
  if (!options.allow_overwrite && std::filesystem::exists(path, error)) {
    errno = EEXIST;
    return fail(kInvalid, "path", fmt::format("{} is there already", path.string()),
                "open it, or allow to overwrite it");
  }
  // One that a machine works with stays.
  if (const UniqueFd old(::open(path.c_str(), O_RDWR | O_CLOEXEC)); old) {
    if (auto locked = client::lock_image(old.get(), true, path); !locked) {
      locked.error().where = "path";
      return std::unexpected(std::move(locked.error()));
    }
  }
  std::string temporary = path.string() + ".XXXXXX";
  const UniqueFd file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) return cannot("create", path);
  const bool written = write_all(file.get(), *bytes) && ::fsync(file.get()) == 0;
  // link(2) refuses where somebody was faster.
  const bool placed = written && (options.allow_overwrite ? ::rename(temporary.c_str(), path.c_str()) == 0
                                                          : ::link(temporary.c_str(), path.c_str()) == 0);
  const int cause = errno;
  if (!placed || !options.allow_overwrite) ::unlink(temporary.c_str());
  errno = cause;
  if (!placed) return cannot("create", path);
  return EFIVariableStore{path};
}

Result<EFIVariableStore> EFIVariableStore::open(const std::filesystem::path& path) {
  EFIVariableStore store{path};
  if (auto read = store.variables(); !read) return std::unexpected(std::move(read.error()));
  return store;
}

Result<std::vector<EFIVariable>> EFIVariableStore::variables() const {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return cannot("open", path);
  auto bytes = client::read_variable_store(file.get());
  auto variables = bytes ? firmware::parse_variables(*bytes) : std::unexpected(std::move(bytes.error()));
  if (!variables) {
    variables.error().where = "path";
    variables.error().what = fmt::format("{} {}", path.string(), variables.error().what);
  }
  return variables;
}

Result<std::vector<EFIBootEntry>> EFIVariableStore::boot_entries() const {
  const auto all = variables();
  if (!all) return std::unexpected(all.error());
  return firmware::boot_entries(*all);
}

Result<EFISecureBootState> EFIVariableStore::secure_boot_state() const {
  const auto all = variables();
  if (!all) return std::unexpected(all.error());
  return firmware::secure_boot_state(*all);
}

}  // namespace alcove
