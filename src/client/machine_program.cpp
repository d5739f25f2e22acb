#include "client/machine_program.h"

#include "support/program.h"

namespace alcove::client {

Result<std::filesystem::path> find_machine_program(const std::filesystem::path& wanted) {
  return find_program(wanted, {.name = "alcove-vm",
                               .variable = "ALCOVE_VM",
                               .field = "machine_program",
                               .what_missing = "",
                               .hint = "install Alcove, or set ALCOVE_VM to its path"});
}

}  // namespace alcove::client
