// As much of the DNS as tells the names of a shared network's members.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "network/nat_addresses.h"
#include "network/packet.h"

namespace alcove::network {

struct DnsQuestion {
  std::string name;  // In lower case, without the dot at the end.
  uint16_t type = 0, of_class = 0;
  size_t size = 0;  // Of the message up to its end.
};

// Nothing, if the message is no query with one question.
std::optional<DnsQuestion> parse_dns_question(Bytes message);

// Whether an IP packet is for one of the network's name servers.
bool is_name_server(const Packet& packet, const NatAddresses& network);

// The message in a frame to one of the network's name servers; empty if it is none.
Bytes dns_query(Bytes frame, const NatAddresses& network);

// The host that the name stands for in the network: HOST for HOST and HOST.DOMAIN, "" for DOMAIN itself.
// Nothing, if others are to answer.
std::optional<std::string> local_host(const DnsQuestion& question, const std::string& domain);

// What to answer: the address, if it is asked for; without one, that there is no such name.
std::vector<std::byte> dns_answer(Bytes message, const DnsQuestion& question,
                                  std::optional<uint32_t> address);

// The frame that carries the answer to the frame with the query.
std::vector<std::byte> dns_answer_frame(Bytes query_frame, Bytes answer);

}  // namespace alcove::network
