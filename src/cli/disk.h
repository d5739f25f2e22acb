// The commands about disk images: alcove disk create|info|check|convert|resize.
#pragma once

namespace CLI {
class App;
}

namespace alcove::cli {

void add_disk_commands(CLI::App& app, int& status);

}  // namespace alcove::cli
