// The first byte says who sends, the next two how long the frame is; then it begins anew. What a member gets
// has to be another's, and from an address that is that one's.
#include <algorithm>
#include <array>

#include "network/name_service.h"
#include "network/segmenter.h"
#include "network/shared_addresses.h"
#include "network/shared_network.h"
#include "network/switch.h"
#include "spec/internet.h"

using namespace alcove;
using network::Bytes;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMembers = 3;
  std::array<network::SwitchMember, kMembers> members;
  std::array<network::Switch::Port, kMembers> ports{};
  size_t sender = 0;
  network::Switch sw(network::shared_addresses("lab"), [&](network::Switch::Port port, Bytes frame) {
    if (frame.size() < 14) __builtin_trap();
    const auto packet = network::parse(frame);
    const auto source = frame.subspan(6, 6);
    if (port == ports[sender]) {  // An answer to a question for a name.
      if (packet->protocol != 17) __builtin_trap();
      return;
    }
    if (!std::ranges::equal(source, std::as_bytes(std::span(members[sender].mac_address.bytes()))))
      __builtin_trap();
    if (!members[sender].reaches_peers || port == ports[2]) __builtin_trap();
    if (packet->type == 0x0800) {
      const uint32_t from = network::load32(packet->network, spec::internet::kIpv4Source);
      if (from != sw.address_of(ports[sender])) __builtin_trap();
    }
  });
  for (size_t i = 0; i < kMembers; ++i) {
    members[i] = {.mac_address = MACAddress({2, 0, 0, 0, 0, static_cast<uint8_t>(i)}),
                  .host_name = std::string(1, static_cast<char>('a' + i)),
                  .reaches_peers = i != 2};
    ports[i] = sw.join(members[i]).value();
  }
  auto rest = std::as_bytes(std::span(data, size));
  while (rest.size() > 3) {
    sender = network::load8(rest, 0) % kMembers;
    const size_t length = std::min<size_t>(network::load16(rest, 1), rest.size() - 3);
    const Bytes frame = rest.subspan(3, length);
    sw.receive(ports[sender], frame);
    network::without_other_address(frame, 1);
    network::cut_segments(frame, length % 2000, 1500, [](Bytes segment) {
      if (segment.size() > 1514) __builtin_trap();
    });
    rest = rest.subspan(3 + length);
  }
  return 0;
}
