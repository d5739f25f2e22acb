// Machines that are kept: folders NAME.alcove with a machine file, disks and, while they run, a control
// socket.
#pragma once

#include <alcove/alcove.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::cli {

class Bundle {
 public:
  // Where bundles are by default: $XDG_DATA_HOME/alcove, else ~/.local/share/alcove.
  static std::filesystem::path home();
  // A name there, or a path of a folder. Fails if there is none.
  static Result<Bundle> open(const std::string& name_or_path);
  // Fails if it exists already. Writes the machine file.
  static Result<Bundle> create(const std::string& name, const VirtualMachineConfiguration& configuration);
  static std::vector<Bundle> all();
  // Letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 64.
  static Result<> validate_name(const std::string& name);

  std::string name() const { return path_.stem(); }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path machine_file() const { return path_ / "machine.toml"; }
  Result<VirtualMachineConfiguration> configuration() const;
  Result<> remove() const;

  // A connection to the process that runs it; fails if it does not run.
  Result<UniqueFd> connect() const;
  // For that process: the listening socket, at most one at a time.
  Result<UniqueFd> listen() const;

 private:
  explicit Bundle(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace alcove::cli
