#include "network/network.h"

namespace alcove::network {

namespace {

std::unexpected<Error> no_forwards() {
  return fail(ErrorCode::not_supported, "attachment", "this attachment has no port forwards at run time",
              "nat and shared networks have");
}

}  // namespace

Result<PortForward> Network::add_forward(const PortForward&) {
  return no_forwards();
}

Result<> Network::remove_forward(const PortForward&) {
  return no_forwards();
}

}  // namespace alcove::network
