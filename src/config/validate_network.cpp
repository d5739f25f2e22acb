#include <arpa/inet.h>
#include <fmt/format.h>

#include <map>
#include <tuple>

#include "config/validate.h"

namespace alcove::config {
namespace {

bool is_address(const std::string& text) {
  in6_addr parsed{};
  return ::inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

class NetworkValidator {
 public:
  explicit NetworkValidator(Problems& problems) : problems_(problems) {}

  void validate(const VirtioNetworkDeviceConfiguration& device, const std::string& where) {
    validate(device.mac_address, where + ".mac_address");
    if (!device.attachment) {
      return problems_.add(where + ".attachment", "there is none", "set a NATNetworkDeviceAttachment");
    }
    const auto& forwards = std::get<NATNetworkDeviceAttachment>(*device.attachment).port_forwards;
    for (size_t index = 0; index < forwards.size(); ++index) {
      validate(forwards[index], fmt::format("{}.attachment.port_forwards[{}]", where, index));
    }
  }

 private:
  void validate(const MACAddress& address, const std::string& where) {
    if (address == MACAddress()) {
      problems_.add(where, "is all zeros", "take MACAddress::random_locally_administered()");
      return;
    }
    if (!address.is_unicast()) {
      problems_.add(where, fmt::format("{} is a multicast address", address.string()),
                    "the first byte of a device's address is even");
    }
    const auto [other, is_first] = addresses_.try_emplace(address, where);
    if (!is_first) {
      problems_.add(where, fmt::format("{} is also that of {}", address.string(), other->second),
                    "each device needs its own");
    }
  }

  void validate(const PortForward& forward, const std::string& where) {
    if (!is_address(forward.host_address)) {
      problems_.add(where + ".host_address", fmt::format("\"{}\" is not an IP address", forward.host_address),
                    "\"127.0.0.1\" is this host only, \"0.0.0.0\" everyone who reaches it");
    }
    if (!forward.guest_address.empty() && !is_address(forward.guest_address)) {
      problems_.add(where + ".guest_address",
                    fmt::format("\"{}\" is not an IP address", forward.guest_address),
                    "leave it empty for the address that the guest gets");
    }
    if (forward.guest_port == 0) problems_.add(where + ".guest_port", "is not set", "1 to 65535");
    if (forward.host_port == 0) return;
    const auto [other, is_first] =
        ports_.try_emplace({forward.protocol, forward.host_address, forward.host_port}, where);
    if (!is_first) {
      problems_.add(where + ".host_port",
                    fmt::format("{} {} is also forwarded by {}", to_string(forward.protocol),
                                forward.host_port, other->second),
                    "0 chooses a free one");
    }
  }

  Problems& problems_;
  std::map<MACAddress, std::string> addresses_;
  std::map<std::tuple<TransportProtocol, std::string, uint16_t>, std::string> ports_;
};

}  // namespace

void validate_network(const VirtualMachineConfiguration& configuration, Problems& problems) {
  NetworkValidator validator(problems);
  for (size_t index = 0; index < configuration.network_devices.size(); ++index) {
    validator.validate(std::get<VirtioNetworkDeviceConfiguration>(configuration.network_devices[index]),
                       fmt::format("network_devices[{}]", index));
  }
}

}  // namespace alcove::config
