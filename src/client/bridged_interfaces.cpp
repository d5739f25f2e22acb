// The host's interfaces, as the kernel lists them and ethtool(8) describes them.
#include <alcove/network.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "support/unique_fd.h"

namespace alcove {
namespace {

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

std::string driver_of(int control, const std::string& name) {
  ethtool_drvinfo information{};
  information.cmd = ETHTOOL_GDRVINFO;
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&information);
  return ::ioctl(control, SIOCETHTOOL, &request) == 0 ? information.driver : "";
}

// Kernels without the old wireless extensions have sysfs alone tell.
bool has_radio(int control, const std::string& name) {
  constexpr unsigned long kWirelessName = 0x8b01;  // SIOCGIWNAME
  if (::access(fmt::format("/sys/class/net/{}/phy80211", name).c_str(), F_OK) == 0) return true;
  ifreq request = request_for(name);
  return ::ioctl(control, kWirelessName, &request) == 0;
}

// Ends of machines' own cables, and interfaces with nothing behind them.
bool is_no_uplink(const std::string& driver) {
  static const std::set<std::string> kOthers = {"tun", "macvlan", "macvtap", "dummy", "ifb"};
  return kOthers.contains(driver);
}

}  // namespace

std::vector<BridgedNetworkInterface> BridgedNetworkInterface::list() {
  std::vector<BridgedNetworkInterface> result;
  const UniqueFd control(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifaddrs* interfaces = nullptr;
  if (::getifaddrs(&interfaces) != 0) return result;
  for (const ifaddrs* entry = interfaces; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_PACKET) continue;
    const auto* link = reinterpret_cast<const sockaddr_ll*>(entry->ifa_addr);
    const std::string name = entry->ifa_name;
    const std::string driver = driver_of(control.get(), name);
    // An interface without a driver of its own is e.g. an ifb, whose driver has no name in older kernels.
    if (link->sll_hatype != ARPHRD_ETHER || link->sll_halen != 6 || driver.empty() || is_no_uplink(driver))
      continue;
    std::array<uint8_t, 6> mac_address;
    std::copy_n(link->sll_addr, mac_address.size(), mac_address.begin());
    const bool wireless = has_radio(control.get(), name);
    const char* kind = wireless ? "Wi-Fi" : driver == "bridge" ? "Bridge" : "Ethernet";
    result.push_back({.identifier = name,
                      .display_name = driver == "bridge" ? kind : fmt::format("{} ({})", kind, driver),
                      .mac_address = MACAddress(mac_address),
                      .has_link = (entry->ifa_flags & IFF_RUNNING) != 0,
                      .is_wireless = wireless});
  }
  ::freeifaddrs(interfaces);
  std::ranges::sort(result, {}, &BridgedNetworkInterface::identifier);
  return result;
}

}  // namespace alcove
