#include "devices/net/receive_filter.h"

#include <cstring>

#include "spec/virtio_net.h"

namespace alcove::devices::net {

namespace wire = spec::virtio_net;

namespace {

constexpr size_t kMaximumTable = 64;

}  // namespace

bool ReceiveFilter::wants(std::span<const std::byte> frame) const {
  Bytes destination;
  if (frame.size() < destination.size()) return false;
  std::memcpy(destination.data(), frame.data(), destination.size());
  const MACAddress to(destination);
  if (to.is_broadcast()) return !no_broadcast_;
  if (promiscuous_) return true;
  if (to.is_multicast()) {
    return !no_multicast_ && (all_multicast_ || multicast_.all || multicast_.addresses.contains(destination));
  }
  return !no_unicast_ &&
         (to == mac_ || all_unicast_ || unicast_.all || unicast_.addresses.contains(destination));
}

bool ReceiveFilter::command(std::span<const std::byte> bytes) {
  if (bytes.size() < 2) return false;
  const auto command = std::to_integer<uint8_t>(bytes[1]);
  const auto data = bytes.subspan(2);
  switch (std::to_integer<uint8_t>(bytes[0])) {
    case wire::kClassReceive:
      return set_mode(command, data);
    case wire::kClassMac: {
      if (command == wire::kMacTableSet) return set_table(data);
      Bytes address;
      if (command != wire::kMacAddressSet || data.size() != address.size()) return false;
      std::memcpy(address.data(), data.data(), address.size());
      mac_ = MACAddress(address);
      return true;
    }
    default:
      return false;
  }
}

bool ReceiveFilter::set_mode(uint8_t command, std::span<const std::byte> data) {
  if (data.size() != 1) return false;
  const bool on = data[0] != std::byte{0};
  switch (command) {
    case wire::kReceivePromiscuous:
      promiscuous_ = on;
      return true;
    case wire::kReceiveAllMulticast:
      all_multicast_ = on;
      return true;
    case wire::kReceiveAllUnicast:
      all_unicast_ = on;
      return true;
    case wire::kReceiveNoMulticast:
      no_multicast_ = on;
      return true;
    case wire::kReceiveNoUnicast:
      no_unicast_ = on;
      return true;
    case wire::kReceiveNoBroadcast:
      no_broadcast_ = on;
      return true;
    default:
      return false;
  }
}

// A count of 32 bits, then that many addresses.
bool ReceiveFilter::take_table(std::span<const std::byte>& data, Table& table) {
  uint32_t count;
  if (data.size() < sizeof count) return false;
  std::memcpy(&count, data.data(), sizeof count);
  data = data.subspan(sizeof count);
  if (count > data.size() / sizeof(Bytes)) return false;
  table.all = count > kMaximumTable;
  for (uint32_t i = 0; i < count && !table.all; ++i) {
    Bytes address;
    std::memcpy(address.data(), data.data() + i * sizeof address, sizeof address);
    table.addresses.insert(address);
  }
  data = data.subspan(count * sizeof(Bytes));
  return true;
}

bool ReceiveFilter::set_table(std::span<const std::byte> data) {
  Table unicast, multicast;
  if (!take_table(data, unicast) || !take_table(data, multicast) || !data.empty()) return false;
  unicast_ = std::move(unicast);
  multicast_ = std::move(multicast);
  return true;
}

}  // namespace alcove::devices::net
