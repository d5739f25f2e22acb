// What --net takes.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>

#include "cli/machine_options.h"
#include "cli/option_text.h"

namespace alcove::cli {

namespace {

constexpr auto kOption = "--net";

// A kind of network, as it is before its options.
Result<NetworkDeviceAttachment> parse_kind(const std::string& text) {
  const auto [kind, name] = key_and_value(text);
  if (text == "nat") return NATNetworkDeviceAttachment{};
  if (text == "passt") return PasstNetworkDeviceAttachment{};
  if (kind == "tap" && !name.empty()) return TapNetworkDeviceAttachment{.interface_name = name};
  if (kind == "network" && !name.empty()) return SharedNetworkDeviceAttachment{.network_name = name};
  if (kind == "fd" && whole_number(name).empty())
    return FileHandleNetworkDeviceAttachment{.file_handle = std::stoi(name)};
  return usage(kOption, fmt::format("'{}' is not a kind of network", text),
               "use nat, network=NAME, tap=INTERFACE, passt, fd=N or none");
}

std::vector<PortForward>* forwards_of(NetworkDeviceAttachment& attachment) {
  return std::visit(
      [](auto& kind) -> std::vector<PortForward>* {
        if constexpr (requires { kind.port_forwards; }) return &kind.port_forwards;
        return nullptr;
      },
      attachment);
}

PrivateNetwork* private_network_of(NetworkDeviceAttachment& attachment) {
  return std::visit(
      [](auto& kind) -> PrivateNetwork* {
        if constexpr (requires { kind.network; }) return &kind.network;
        return nullptr;
      },
      attachment);
}

// What a network behind the host's address has. False, if it is no option of that.
bool apply_private(const std::string& key, const std::string& value, PrivateNetwork& network) {
  const std::map<std::string_view, std::string*> texts = {{"subnet", &network.ipv4_subnet},
                                                          {"prefix", &network.ipv6_prefix},
                                                          {"address", &network.ipv4_address},
                                                          {"interface", &network.external_interface}};
  const std::map<std::string_view, bool*> switches = {{"nat44", &network.nat44},
                                                      {"nat66", &network.nat66},
                                                      {"dhcp", &network.dhcp},
                                                      {"dns", &network.dns_proxy},
                                                      {"ra", &network.router_advertisement}};
  if (const auto text = texts.find(key); text != texts.end() && !value.empty()) {
    *text->second = value;
  } else if (const auto found = switches.find(key);
             found != switches.end() && (value == "on" || value == "off")) {
    *found->second = value == "on";
  } else if (key == "mtu" && !value.empty() && value.size() < 10 && whole_number(value).empty()) {
    network.maximum_transmission_unit = static_cast<uint32_t>(std::stoul(value));
  } else if (key == "host-only" && value.empty()) {
    network.nat44 = network.nat66 = false;
  } else {
    return false;
  }
  return true;
}

// False, if it is no option of such an attachment.
Result<bool> apply_option(const std::string& part, NetworkDeviceAttachment& attachment) {
  const auto [key, value] = key_and_value(part);
  auto* network = std::get_if<SharedNetworkDeviceAttachment>(&attachment);
  auto* file = std::get_if<FileHandleNetworkDeviceAttachment>(&attachment);
  if (key == "forward" && forwards_of(attachment)) {
    auto forward = parse_port_forward(value);
    if (!forward)
      return usage(kOption, fmt::format("'{}' {}", value, forward.error().what), forward.error().hint);
    forwards_of(attachment)->push_back(*forward);
  } else if (part == "peers" && network) {
    network->reaches_peers = true;
  } else if (key == "hostname" && network) {
    network->host_name = value;
  } else if (key == "mtu" && file && whole_number(value).empty()) {
    file->maximum_transmission_unit = static_cast<uint32_t>(std::stoul(value));
  } else {
    PrivateNetwork* own = private_network_of(attachment);
    return own && apply_private(key, value, *own);
  }
  return true;
}

std::string options_of(const NetworkDeviceAttachment& attachment) {
  constexpr std::string_view kPrivate =
      "subnet=, prefix=, address=, mtu=, interface=, host-only, nat44=, nat66=, dhcp=, dns= or ra=on|off";
  constexpr std::string_view kForward = "forward=PROTOCOL:[ADDRESS:]PORT:[ADDRESS:]PORT";
  if (std::holds_alternative<SharedNetworkDeviceAttachment>(attachment))
    return fmt::format("use peers, hostname=NAME, {}, allow=RULE, deny=RULE, mac=ADDRESS, {}", kForward,
                       kPrivate);
  if (std::holds_alternative<NATNetworkDeviceAttachment>(attachment))
    return fmt::format("use {}, allow=RULE, deny=RULE, mac=ADDRESS, {}", kForward, kPrivate);
  if (std::holds_alternative<FileHandleNetworkDeviceAttachment>(attachment))
    return "use mtu=N, allow=RULE, deny=RULE or mac=ADDRESS";
  if (std::holds_alternative<TapNetworkDeviceAttachment>(attachment))
    return "use allow=RULE, deny=RULE or mac=ADDRESS";
  return fmt::format("use {}, allow=RULE, deny=RULE or mac=ADDRESS", kForward);
}

// "[PROTOCOL[:PORT[-PORT]]@]DESTINATION"; which are what, validation says.
Result<NetworkRule> parse_rule(NetworkRuleAction action, const std::string& text) {
  const auto wrong = [&] {
    return usage(kOption, fmt::format("'{}' is not a rule", text),
                 "use [PROTOCOL[:PORT[-PORT]]@]any, …@ADDRESS or …@ADDRESS/LENGTH, e.g. tcp:80@any");
  };
  NetworkRule rule{.action = action};
  const size_t at = text.find('@');
  rule.destination = at == text.npos ? text : text.substr(at + 1);
  if (rule.destination.empty()) return wrong();
  if (rule.destination == "any") rule.destination.clear();
  if (at == text.npos) return rule;
  const std::string what = text.substr(0, at);
  const size_t colon = what.find(':');
  rule.protocol = from_string<TransportProtocol>(what.substr(0, colon));
  if (!rule.protocol) return wrong();
  if (colon == what.npos) return rule;
  const std::string ports = what.substr(colon + 1);
  const size_t dash = ports.find('-');
  const auto port = [](const std::string& number) -> uint16_t {
    if (!whole_number(number).empty() || number.size() > 5 || std::stoul(number) > UINT16_MAX) return 0;
    return static_cast<uint16_t>(std::stoul(number));
  };
  rule.first_port = port(ports.substr(0, dash));
  if (dash != ports.npos) rule.last_port = port(ports.substr(dash + 1));
  if (rule.first_port == 0 || (dash != ports.npos && rule.last_port == 0)) return wrong();
  return rule;
}

Error no_option(const std::string& part, const NetworkDeviceAttachment& attachment) {
  return {ErrorCode::invalid_virtual_machine_configuration, kOption,
          fmt::format("'{}' is not an option of {}", part, describe(attachment)), options_of(attachment)};
}

}  // namespace

Result<std::optional<NetworkDeviceAttachment>> parse_attachment(const std::string& text) {
  if (text == "none") return std::nullopt;
  const std::vector<std::string> parts = split(text);
  auto attachment = parse_kind(parts[0]);
  if (!attachment) return std::unexpected(std::move(attachment.error()));
  for (const std::string& part : std::span(parts).subspan(1)) {
    const auto applied = apply_option(part, *attachment);
    if (!applied) return std::unexpected(applied.error());
    if (!*applied) return std::unexpected(no_option(part, *attachment));
  }
  return *std::move(attachment);
}

Result<std::optional<NetworkDeviceConfiguration>> parse_network(const std::string& text) {
  if (text == "none") return std::nullopt;
  VirtioNetworkDeviceConfiguration device;
  // The address and the rules are the card's; all else is what its cable leads to.
  std::string rest;
  for (const std::string& part : split(text)) {
    const auto [key, value] = key_and_value(part);
    const auto action = from_string<NetworkRuleAction>(key);
    if (action && !rest.empty()) {
      auto rule = parse_rule(*action, value);
      if (!rule) return std::unexpected(std::move(rule.error()));
      device.rules.push_back(*std::move(rule));
      continue;
    }
    if (key != "mac" || rest.empty()) {
      rest += (rest.empty() ? "" : ",") + part;
      continue;
    }
    auto address = MACAddress::parse(value);
    if (!address)
      return usage(kOption, fmt::format("'{}' {}", value, address.error().what), address.error().hint);
    device.mac_address = *address;
  }
  auto attachment = parse_attachment(rest);
  if (!attachment) return std::unexpected(std::move(attachment.error()));
  device.attachment = *std::move(attachment);
  return device;
}

void set_host_names(VirtualMachineConfiguration& configuration, const std::string& name) {
  for (auto& device : configuration.network_devices) {
    auto& attachment = std::get<VirtioNetworkDeviceConfiguration>(device).attachment;
    if (attachment) set_host_name(*attachment, name);
  }
}

void set_host_name(NetworkDeviceAttachment& attachment, const std::string& name) {
  auto* network = std::get_if<SharedNetworkDeviceAttachment>(&attachment);
  if (!network || !network->host_name.empty()) return;
  for (const char c : name) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    network->host_name += fits ? c : '-';
  }
  const size_t begin = std::min(network->host_name.find_first_not_of('-'), network->host_name.size());
  network->host_name = network->host_name.substr(begin, 63);
  while (network->host_name.ends_with('-')) network->host_name.pop_back();
}

}  // namespace alcove::cli
