// Frames of a hostile guest, each behind its length, before rules that deny everything but one port.
#include "network/rules.h"
#include "spec/internet.h"

using namespace alcove;
namespace wire = spec::internet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  network::Rules rules({{.action = NetworkRuleAction::allow,
                         .destination = "10.0.2.3",
                         .protocol = TransportProtocol::udp,
                         .first_port = 53},
                        {}});
  auto rest = std::as_bytes(std::span(data, size));
  while (rest.size() >= 3) {
    const bool to_guest = network::load8(rest, 0) & 1;
    const size_t length = std::min<size_t>(network::load16(rest, 1), rest.size() - 3);
    const auto frame = rest.subspan(3, length);
    rest = rest.subspan(3 + length);
    if (to_guest) {
      rules.see_to_guest(frame);
    } else if (rules.allows(frame)) {
      const auto packet = network::parse(frame);
      if (!packet || packet->network.empty() || packet->fragment) __builtin_trap();
      if (packet->type == wire::kTypeIpv4 && packet->protocol == 0) __builtin_trap();
    }
  }
  return 0;
}
