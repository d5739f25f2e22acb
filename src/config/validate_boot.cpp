#include <fmt/format.h>
#include <sys/stat.h>

#include "config/efi_firmware.h"
#include "config/validate.h"
#include "support/utf8.h"

namespace alcove::config {

namespace {

constexpr size_t kLongestCommandLine = 2047;  // Linux on x86 takes 2048 with the final zero byte.

void validate_loader(const LinuxBootLoader& linux_loader, const VirtualMachineConfiguration&,
                     Problems& problems) {
  if (linux_loader.kernel.empty()) {
    problems.add("boot_loader.kernel", "is not set", "name a bzImage or a vmlinux");
  } else {
    check_readable_file(linux_loader.kernel, "boot_loader.kernel", "the kernel", problems);
  }
  if (!linux_loader.initial_ramdisk.empty()) {
    check_readable_file(linux_loader.initial_ramdisk, "boot_loader.initial_ramdisk", "the initial RAM disk",
                        problems);
  }
  const std::string& command_line = linux_loader.command_line;
  if (command_line.size() > kLongestCommandLine) {
    problems.add("boot_loader.command_line", fmt::format("has {} bytes", command_line.size()),
                 fmt::format("Linux takes at most {}", kLongestCommandLine));
  }
  if (command_line.find('\0') != std::string::npos || !is_utf8(command_line)) {
    problems.add("boot_loader.command_line", "is not a text in UTF-8");
  }
}

void validate_loader(const EFIBootLoader& loader, const VirtualMachineConfiguration& configuration,
                     Problems& problems) {
  const auto firmware = find_efi_firmware(loader.firmware);
  if (!firmware) {
    Error error = firmware.error();
    problems.add("boot_loader.firmware", std::move(error.what), std::move(error.hint), error.code);
  } else {
    check_readable_file(firmware->code, "boot_loader.firmware", "the firmware", problems);
  }
  if (configuration.memory_size < kLeastEfiMemory) {
    problems.add("memory_size",
                 fmt::format("EFI firmware does not start with {}", format_size(configuration.memory_size)),
                 fmt::format("{} at least", format_size(kLeastEfiMemory)));
  }
  const std::filesystem::path& store = loader.variable_store.path;
  if (store.empty()) return;
  struct stat status{};
  if (::stat(store.c_str(), &status) != 0 && errno == ENOENT) {
    problems.add("boot_loader.variable_store.path", fmt::format("there is no {}", store.string()),
                 "make one with EFIVariableStore::create() or `alcove efi create`");
  } else {
    check_readable_file(store, "boot_loader.variable_store.path", "the variable store", problems);
  }
}

}  // namespace

void validate_boot(const VirtualMachineConfiguration& configuration, Problems& problems) {
  if (!configuration.boot_loader) {
    problems.add("boot_loader", "there is none", "set a LinuxBootLoader with a kernel, or an EFIBootLoader");
    return;
  }
  std::visit([&](const auto& loader) { validate_loader(loader, configuration, problems); },
             *configuration.boot_loader);
}

}  // namespace alcove::config
