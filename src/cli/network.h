// The `network` commands.
#pragma once

namespace CLI {
class App;
}

namespace alcove::cli {

void add_network_commands(CLI::App& app, int& status);

}  // namespace alcove::cli
