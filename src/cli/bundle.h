// Machines that are kept: folders NAME.alcove with a machine file, disks and, while they run, a control
// socket.
#pragma once

#include <alcove/alcove.h>

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
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
  // Those in home(); none if there is no such folder.
  static Result<std::vector<Bundle>> all();
  // Letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 64.
  static Result<> validate_name(const std::string& name);

  std::string name() const { return path_.stem(); }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path machine_file() const { return path_ / "machine.toml"; }
  Result<VirtualMachineConfiguration> configuration() const;
  // Fails if it runs.
  Result<> remove() const;

  // Whoever runs the machine holds its lock while it does, so that nobody else runs or deletes it. A holder
  // that is just ending is waited for, a moment; another one is named in the error.
  Result<UniqueFd> lock() const;
  // The process that holds the lock; nothing if none does.
  std::optional<pid_t> holder() const;
  // Waits until nobody holds it; false if that took too long.
  bool wait_until_free(std::chrono::steady_clock::time_point deadline) const;

  // A connection to the background process that runs it; fails if there is none.
  Result<UniqueFd> connect() const;
  // For that process, which holds the lock: the listening socket.
  Result<UniqueFd> listen() const;

  // What ended the machine the last time, if not its guest or its user: kept until it is started again. A
  // background process that was killed leaves its socket behind, which tells as much.
  std::optional<Error> last_error() const;
  void set_last_error(const std::optional<Error>& error) const;

 private:
  explicit Bundle(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace alcove::cli
