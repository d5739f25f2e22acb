#pragma once

#include <alcove/mac_address.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>

namespace alcove::devices::net {

// Which frames the guest wants to get, as it says on the control queue (virtio 1.2, sections 5.1.6.5.1 and
// 5.1.6.5.2). At first all.
class ReceiveFilter {
 public:
  explicit ReceiveFilter(MACAddress mac) : mac_(mac) {}

  bool wants(std::span<const std::byte> frame) const;
  MACAddress mac() const { return mac_; }

  // Carries out a command's bytes: class, command, data. False if it is none that the device knows.
  bool command(std::span<const std::byte> bytes);

 private:
  bool set_mode(uint8_t command, std::span<const std::byte> data);
  bool set_table(std::span<const std::byte> data);

  using Bytes = std::array<uint8_t, 6>;
  struct Table {
    std::set<Bytes> addresses;
    bool all = false;  // There were more than the device keeps.
  };
  static bool take_table(std::span<const std::byte>& data, Table& table);

  MACAddress mac_;
  bool promiscuous_ = true, all_multicast_ = false, all_unicast_ = false;
  bool no_multicast_ = false, no_unicast_ = false, no_broadcast_ = false;
  Table unicast_, multicast_;
};

}  // namespace alcove::devices::net
