// The first byte says what is turned off, the rest is a frame: as the guest's, and as one for it, which may
// be told less but keeps its length.
#include "network/nat_destinations.h"
#include "network/nat_switches.h"
#include "network/uplink.h"

using namespace alcove;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bit = [&](unsigned number) { return (data[0] >> number & 1) != 0; };
  const PrivateNetwork wishes{
      .nat44 = bit(0), .nat66 = bit(1), .dhcp = bit(2), .dns_proxy = bit(3), .router_advertisement = bit(4)};
  network::NatAddresses addresses;
  if (bit(5)) addresses.domain = "lab.internal";
  const network::NatSwitches switches(wishes, addresses);
  const auto frame = std::as_bytes(std::span(data, size)).subspan(1);
  std::vector<std::byte> changed;
  if (switches.passes(frame, changed) && !changed.empty() && changed.size() != frame.size()) __builtin_trap();
  const auto packet = network::parse(frame);
  if (!packet || packet->network.empty()) return 0;
  switches.admits(*packet);
  network::is_nat_destination(*packet, addresses);
  network::Uplink uplink("lo", addresses);
  uplink.add_forward({.protocol = TransportProtocol::udp, .guest_port = 5353});
  uplink.see_to_guest(frame);
  uplink.begin(*packet);
  return 0;
}
