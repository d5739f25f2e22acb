#include "machine/shares.h"

#include <fmt/format.h>

#include "memory/file_window.h"

namespace alcove::machine {

Result<share::Share> open_share(const std::optional<DirectoryShare>& share, Descriptors& descriptors,
                                const std::string& field) {
  share::Share result;
  if (!share) return result;
  const auto add = [&](std::string name, const SharedDirectory& directory,
                       const std::string& where) -> Result<> {
    UniqueFd folder = descriptors.take(where);
    if (!folder) return fail(ErrorCode::invalid_virtual_machine_configuration, where, "is not open");
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
