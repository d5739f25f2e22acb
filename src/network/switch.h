#pragma once

#include <alcove/error.h>
#include <alcove/mac_address.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "network/source_guard.h"

namespace alcove::network {

struct SwitchMember {
  MACAddress mac_address;
  std::string host_name;  // May be empty.
  bool reaches_peers = false;
  uint32_t address = 0;  // What is wished for; 0: join() chooses.
};

// What joins the members of a shared network: passes frames between those that want to reach their peers, and
// tells them each other's names. Their way out is not here: each has its own NAT. What a guest sends is
// judged here by who it is, whatever its machine's process says. One thread at a time.
class Switch {
 public:
  using Port = uint64_t;
  // A frame for a member; may not call back.
  using Output = std::function<void(Port, Bytes frame)>;

  Switch(NatAddresses addresses, Output output)
      : addresses_(std::move(addresses)), output_(std::move(output)) {}

  // While nobody is there.
  void set_addresses(NatAddresses addresses) { addresses_ = std::move(addresses); }
  // Errors name the member's field.
  Result<Port> join(SwitchMember member);
  void leave(Port port);
  void receive(Port from, Bytes frame);

  const NatAddresses& addresses() const { return addresses_; }
  // By port, as they came.
  std::vector<SwitchMember> members() const;
  uint32_t address_of(Port port) const { return members_.at(port).member.address; }
  size_t size() const { return members_.size(); }
  // Frames that did not say truly where they came from.
  uint64_t refused_frames() const { return refused_frames_; }

 private:
  static constexpr size_t kMostMembers = 1024;
  // A guest that sends from ever new addresses gives up those it has had longest.
  static constexpr size_t kMostClaims = 16;
  struct Connected {
    SwitchMember member;
    SourceGuard guard;
    std::deque<Ipv6Address> claims;
  };
  bool claim(Port port, const std::optional<Ipv6Address>& address);
  bool answer_name(Port from, const SwitchMember& member, Bytes frame);
  std::optional<uint32_t> find(const SwitchMember& asker, const std::string& host) const;
  void forward(Port from, Bytes frame);

  NatAddresses addresses_;
  const Output output_;
  std::map<Port, Connected> members_;
  std::map<MACAddress, Port> by_mac_;
  std::map<Ipv6Address, Port> claims_;
  Port next_port_ = 1;
  uint64_t refused_frames_ = 0;
};

// Letters, digits and '-', at most 63, neither end a '-'; RFC 1123.
bool is_host_name(std::string_view text);

}  // namespace alcove::network
