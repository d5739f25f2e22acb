#include "client/passt.h"

#include <fmt/format.h>

#include <vector>

#include "client/background_process.h"
#include "client/socket_pair.h"
#include "support/program.h"

namespace alcove::client {
namespace {

constexpr int kSocketNumber = 3;

// "127.0.0.1/2222:22", as its -t and -u take it.
std::string forward_text(const PortForward& forward) {
  return fmt::format("{}/{}:{}", forward.host_address, forward.host_port, forward.guest_port);
}

}  // namespace

Result<UniqueFd> start_passt(const PasstNetworkDeviceAttachment& attachment, const std::string& where) {
  const auto program = attachment.program.empty() ? find_in_path("passt") : std::optional(attachment.program);
  if (!program)
    return fail(ErrorCode::not_supported, where, "the program passt is not installed",
                "sudo apt install passt");
  auto sockets = connection_pair();
  if (!sockets) return std::unexpected(std::move(sockets.error()));
  std::vector<std::string> arguments = {"passt", "--quiet", "--fd", std::to_string(kSocketNumber)};
  for (const PortForward& forward : attachment.port_forwards) {
    arguments.emplace_back(forward.protocol == TransportProtocol::tcp ? "-t" : "-u");
    arguments.push_back(forward_text(forward));
  }
  // It goes to the background once it is ready.
  std::vector<UniqueFd> passed;
  passed.push_back(std::move(sockets->second));
  if (auto started = start_in_background(*program, std::move(arguments), std::move(passed)); !started) {
    started.error().where = where;
    started.error().code = ErrorCode::network_error;
    return std::unexpected(std::move(started.error()));
  }
  return std::move(sockets->first);
}

}  // namespace alcove::client
