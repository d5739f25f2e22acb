#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ostream>

#include "config/json.h"
#include "config/paths.h"
#include "config/toml.h"
#include "support/unique_fd.h"
#include "support/utf8.h"

namespace alcove {
namespace {

constexpr size_t kLargestFile = 1 << 20;

Result<VirtualMachineConfiguration> first_of(std::vector<Error> errors,
                                             VirtualMachineConfiguration configuration) {
  if (errors.empty()) return configuration;
  Error first = std::move(errors.front());
  if (errors.size() > 1) {
    first.what +=
        fmt::format("; and {} more {}", errors.size() - 1, errors.size() == 2 ? "problem" : "problems");
  }
  return std::unexpected(std::move(first));
}

std::unexpected<Error> file_error(const std::filesystem::path& file, std::string_view doing) {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT
                             ? ErrorCode::out_of_disk_space
                             : ErrorCode::invalid_virtual_machine_configuration;
  return fail(code, file.string(), fmt::format("can't {}: {}", doing, std::strerror(errno)));
}

Result<std::string> read_file(const std::filesystem::path& file) {
  UniqueFd descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor) return file_error(file, "open it");
  struct stat status{};
  if (::fstat(descriptor.get(), &status) != 0) return file_error(file, "look at it");
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, file.string(), "is not a file");
  }
  std::string text(kLargestFile + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(descriptor.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(file, "read it");
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  if (size > kLargestFile) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, file.string(),
                "is larger than 1 MiB, which no machine file is");
  }
  text.resize(size);
  return text;
}

// Writes beside the file and renames, so that a failure at any moment leaves the old file or the new one.
Result<> replace_file(const std::filesystem::path& file, std::string_view text) {
  const std::string temporary = file.string() + "." + GenericMachineIdentifier().string();
  UniqueFd descriptor(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!descriptor) return file_error(file, "create a file beside it");
  const auto give_up = [&](std::string_view doing) {
    auto error = file_error(file, doing);
    ::unlink(temporary.c_str());
    return error;
  };
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return give_up("write it");
    text.remove_prefix(static_cast<size_t>(count));
  }
  if (::fsync(descriptor.get()) != 0) return give_up("write it");
  if (::rename(temporary.c_str(), file.c_str()) != 0) return give_up("replace it");
  return {};
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::absolute(file, ignored).parent_path().lexically_normal();
}

}  // namespace

Result<VirtualMachineConfiguration> VirtualMachineConfiguration::from_toml(std::string_view text) {
  auto parsed = config::parse_toml(text);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  std::vector<Error> errors;
  VirtualMachineConfiguration configuration = config::from_tree(parsed->tree, errors);
  for (Error& error : errors) {
    if (unsigned line = parsed->line_of(error.where))
      error.where = fmt::format("line {}: {}", line, error.where);
  }
  return first_of(std::move(errors), std::move(configuration));
}

std::string VirtualMachineConfiguration::to_toml() const {
  return config::print_toml(config::to_tree(*this, config::SizeStyle::text));
}

Result<VirtualMachineConfiguration> VirtualMachineConfiguration::from_json(std::string_view text) {
  auto tree = config::parse_json(text, "");
  if (!tree) return std::unexpected(std::move(tree.error()));
  std::vector<Error> errors;
  VirtualMachineConfiguration configuration = config::from_tree(*tree, errors);
  return first_of(std::move(errors), std::move(configuration));
}

std::string VirtualMachineConfiguration::to_json() const {
  return config::print_json(config::to_tree(*this));
}

Result<VirtualMachineConfiguration> VirtualMachineConfiguration::load(const std::filesystem::path& file) {
  auto text = read_file(file);
  if (!text) return std::unexpected(std::move(text.error()));
  auto configuration = from_toml(*text);
  if (!configuration) {
    Error error = std::move(configuration.error());
    error.where = error.where.empty() ? file.string() : fmt::format("{}: {}", file.string(), error.where);
    return std::unexpected(std::move(error));
  }
  const std::filesystem::path folder = folder_of(file);
  config::for_each_path(*configuration, [&](std::filesystem::path& path) {
    if (!path.empty() && path.is_relative()) path = (folder / path).lexically_normal();
  });
  return configuration;
}

Result<> VirtualMachineConfiguration::save(const std::filesystem::path& file) const {
  VirtualMachineConfiguration copy = *this;
  const std::filesystem::path folder = folder_of(file);
  config::for_each_path(copy, [&](std::filesystem::path& path) {
    if (path.empty()) return;
    std::error_code ignored;
    path = std::filesystem::absolute(path, ignored).lexically_normal();
    const std::filesystem::path relative = path.lexically_relative(folder);
    if (!relative.empty() && *relative.begin() != "..") path = relative;
  });
  const std::string text = copy.to_toml();
  if (!is_utf8(text)) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, file.string(),
                "a path or text of the configuration is not UTF-8, which machine files are",
                "rename the file concerned");
  }
  return replace_file(file, text);
}

std::ostream& operator<<(std::ostream& stream, const VirtualMachineConfiguration& configuration) {
  return stream << configuration.to_toml();
}

}  // namespace alcove
