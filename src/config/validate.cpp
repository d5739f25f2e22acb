#include "config/validate.h"

#include <alcove/literals.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "config/cpu_model.h"
#include "support/utf8.h"

namespace alcove {

using namespace literals;
using config::Problems;

unsigned VirtualMachineConfiguration::minimum_allowed_cpu_count() {
  return 1;
}

unsigned VirtualMachineConfiguration::maximum_allowed_cpu_count() {
  return 64;  // More than the host has is allowed, as everywhere; it is only slow.
}

uint64_t VirtualMachineConfiguration::minimum_allowed_memory_size() {
  return 16_MiB;  // A small kernel and its initial RAM disk.
}

uint64_t VirtualMachineConfiguration::maximum_allowed_memory_size() {
  const auto pages = static_cast<uint64_t>(std::max(0l, ::sysconf(_SC_PHYS_PAGES)));
  const auto page_size = static_cast<uint64_t>(std::max(0l, ::sysconf(_SC_PAGESIZE)));
  return std::max(pages * page_size / 1_MiB * 1_MiB, minimum_allowed_memory_size());
}

namespace {

constexpr size_t kLongestLabel = 64;

void validate_label(const std::optional<std::string>& label, Problems& problems) {
  if (!label) return;
  if (label->size() > kLongestLabel) {
    problems.add("label", fmt::format("has {} bytes", label->size()),
                 fmt::format("at most {}", kLongestLabel));
  }
  if (label->find_first_not_of(" \t\r\n") == std::string::npos) {
    problems.add("label", "is blank", "give it a visible character, or leave it out");
  }
  if (label->find('\0') != std::string::npos || !is_utf8(*label)) {
    problems.add("label", "is not a text in UTF-8");
  }
}

void validate_processors_and_memory(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const unsigned most_cpus = VirtualMachineConfiguration::maximum_allowed_cpu_count();
  if (configuration.cpu_count < VirtualMachineConfiguration::minimum_allowed_cpu_count() ||
      configuration.cpu_count > most_cpus) {
    problems.add("cpu_count", fmt::format("a machine can't have {} processors", configuration.cpu_count),
                 fmt::format("1 to {}", most_cpus));
  }
  if (const auto model = config::parse_cpu_model(configuration.cpu_model); !model)
    problems.add("cpu_model", model.error().what, model.error().hint);
  const uint64_t least = VirtualMachineConfiguration::minimum_allowed_memory_size();
  const uint64_t most = VirtualMachineConfiguration::maximum_allowed_memory_size();
  if (configuration.memory_size < least || configuration.memory_size > most) {
    problems.add("memory_size",
                 fmt::format("a machine can't have {}", format_size(configuration.memory_size)),
                 fmt::format("{} to {}, what this host has", format_size(least), format_size(most)));
  } else if (configuration.memory_size % 1_MiB != 0) {
    problems.add("memory_size", fmt::format("{} bytes are no multiple of 1 MiB", configuration.memory_size),
                 fmt::format("{} would be", format_size(configuration.memory_size / 1_MiB * 1_MiB)));
  }
}

void validate_hypervisor(HypervisorChoice choice, Problems& problems) {
  if (choice != HypervisorChoice::kvm || ::access("/dev/kvm", R_OK | W_OK) == 0) return;
  const bool missing = errno == ENOENT;
  problems.add("hypervisor", fmt::format("can't use /dev/kvm: {}", std::strerror(errno)),
               missing
                   ? "load the kvm module, enable virtualization in the host's firmware, or choose \"auto\""
                   : "have yourself added to the group kvm, or choose \"auto\"",
               ErrorCode::not_supported);
}

}  // namespace

namespace config {

bool check_readable_file(const std::filesystem::path& path, const std::string& where,
                         std::string_view purpose, Problems& problems) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    problems.add(where, fmt::format("can't find {} {}: {}", purpose, path.string(), std::strerror(errno)),
                 "name a file that exists");
  } else if (!S_ISREG(status.st_mode)) {
    problems.add(where, fmt::format("{} is not a file", path.string()), fmt::format("name {}", purpose));
  } else if (::access(path.c_str(), R_OK) != 0) {
    problems.add(where, fmt::format("can't read {}: {}", path.string(), std::strerror(errno)),
                 "have its owner let you read it, or use a copy");
  } else if (status.st_size == 0) {
    problems.add(where, fmt::format("{} is empty", path.string()), fmt::format("get {} anew", purpose));
  } else {
    return true;
  }
  return false;
}

void check_writable_file(const std::filesystem::path& path, const std::string& where,
                         std::string_view contents, Problems& problems) {
  if (path.empty()) return problems.add(where, "is not set", fmt::format("name a file for {}", contents));
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return problems.add(where, fmt::format("{} is a folder", path.string()));
    if (::access(path.c_str(), W_OK) == 0) return;
  } else if (errno == ENOENT) {
    const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
    if (::access(folder.c_str(), W_OK | X_OK) == 0) return;
  }
  problems.add(where, fmt::format("can't write {}: {}", path.string(), std::strerror(errno)));
}

}  // namespace config

std::vector<Error> VirtualMachineConfiguration::validate() const {
  Problems problems;
  validate_label(label, problems);
  validate_processors_and_memory(*this, problems);
  validate_hypervisor(hypervisor, problems);
  config::validate_boot(*this, problems);
  config::validate_storage(*this, problems);
  config::validate_usb(*this, problems);
  config::validate_network(*this, problems);
  config::validate_directory_sharing(*this, problems);
  config::validate_sockets(*this, problems);
  config::validate_graphics(*this, problems);
  config::validate_serial_ports(*this, problems);
  config::validate_consoles(*this, problems);
  config::validate_input(*this, problems);
  config::validate_audio(*this, problems);
  if (memory_balloon_devices.size() > 1) {
    problems.add("memory_balloon_devices", fmt::format("there are {}", memory_balloon_devices.size()),
                 "a machine has at most one");
  }
  return problems.take();
}

}  // namespace alcove
