#include "machine/shares.h"

#include <fmt/format.h>

#include <algorithm>

#include "memory/file_window.h"
#include "support/descriptor_budget.h"

namespace alcove::machine {

Result<share::Share> open_share(const std::optional<DirectoryShare>& share, Descriptors& descriptors,
                                const std::string& field) {
  share::Share result;
  if (!share) return result;
  const auto add = [&](std::string name, const SharedDirectory& directory,
                       const std::string& where) -> Result<> {
    UniqueFd folder = descriptors.take(where);
    if (!folder) return fail(ErrorCode::invalid_virtual_machine_configuration, where, "is not open");
    if (!share::may_be_shared(folder.get())) {
      return fail(ErrorCode::invalid_virtual_machine_configuration, where + ".path",
                  fmt::format("{} tells what processes are like (proc(5))", directory.path.string()),
                  "share a folder of files");
    }
    result.folders.push_back(share::make_root(std::move(name), directory, std::move(folder)));
    return {};
  };
  if (const auto* single = std::get_if<SingleDirectoryShare>(&*share)) {
    result.is_single = true;
    if (auto added = add("", single->directory, field + ".directory"); !added)
      return std::unexpected(std::move(added.error()));
    return result;
  }
  for (const auto& [name, directory] : std::get<MultipleDirectoryShare>(*share).directories) {
    if (auto added = add(name, directory, fmt::format("{}.directories.{}", field, name)); !added)
      return std::unexpected(std::move(added.error()));
  }
  return result;
}

share::ServerLimits share_limits(size_t devices) {
  share::ServerLimits limits;
  if (devices == 0) return limits;
  const size_t budget = descriptor_budget(DescriptorUser::shares) / devices;
  limits.open_files = std::min(limits.open_files, budget * 2 / 5);
  limits.paths = std::min(limits.paths, budget / 5);
  return limits;
}

Result<std::vector<uint64_t>> window_sizes(const VirtualMachineConfiguration& configuration) {
  std::vector<uint64_t> sizes;
  uint64_t left = VirtioFileSystemDeviceConfiguration::kLargestDaxWindows;
  const auto& devices = configuration.directory_sharing_devices;
  for (size_t index = 0; index < devices.size(); ++index) {
    const uint64_t size = std::get<VirtioFileSystemDeviceConfiguration>(devices[index]).dax_window_size;
    if (size % memory::FileWindow::kSlotSize != 0 || size > left) {
      return fail(ErrorCode::invalid_virtual_machine_configuration,
                  fmt::format("directory_sharing_devices[{}].dax_window_size", index),
                  "is no multiple of 2 MiB, or too much");
    }
    left -= size;
    if (size != 0) sizes.push_back(size);
  }
  return sizes;
}

}  // namespace alcove::machine
