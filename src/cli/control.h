// How commands speak to the background process of a machine: a request and a reply, each one line of JSON.
// After a "console" request that succeeded, the connection carries the console's bytes both ways.
#pragma once

#include <alcove/error.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/bundle.h"
#include "support/unique_fd.h"

namespace alcove::cli {

// Sends one line; false if the other side is gone.
bool send_line(int socket, const nlohmann::json& message);

// Reads up to the end of a line, at most 64 KiB; what came behind it is left in `rest`. Fails if the other
// side went away first or sent no JSON object.
Result<nlohmann::json> receive_line(int socket, std::string& rest);

// As send_line(), with a copy of a descriptor; the text has one byte at least.
bool send_descriptor(int socket, int descriptor, std::string_view text);
// Sends `request`, and gives the descriptor that comes with the reply, or the Error in it.
Result<UniqueFd> ask_for_descriptor(int socket, const nlohmann::json& request);

// Sends `request`, and gives the reply or the Error in it.
Result<nlohmann::json> ask(int socket, const nlohmann::json& request, std::string& rest);
// The same, of the machine's background process.
Result<nlohmann::json> ask(const Bundle& bundle, const nlohmann::json& request);

}  // namespace alcove::cli
