#include "client/network_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "client/line_files.h"
#include "client/passt.h"
#include "client/shared_networks.h"

namespace alcove::client {
namespace {

int handle_of(const NetworkDeviceAttachment& attachment) {
  if (const auto* file = std::get_if<FileHandleNetworkDeviceAttachment>(&attachment))
    return file->file_handle;
  if (const auto* tap = std::get_if<TapNetworkDeviceAttachment>(&attachment)) return tap->file_handle;
  return -1;
}

// A macvtap has a device file of its own, a tap the one for all.
Result<UniqueFd> open_tap(const std::string& name, const std::string& where) {
  const auto failed = [&](std::string_view path, std::string hint) {
    return fail(ErrorCode::network_error, where,
                fmt::format("can't open {}, for {}: {}", path, name, std::strerror(errno)), std::move(hint));
  };
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return failed("the interface", "see `ip link`");
  const std::string macvtap = fmt::format("/dev/tap{}", index);
  if (::access(macvtap.c_str(), F_OK) == 0) {
    UniqueFd device(::open(macvtap.c_str(), O_RDWR | O_CLOEXEC));
    if (!device) return failed(macvtap, fmt::format("sudo chown $USER {}", macvtap));
    // It may be open several times, and each then gets some of the frames.
    if (::flock(device.get(), LOCK_EX | LOCK_NB) != 0)
      return failed(macvtap, "another program uses the interface");
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (::ioctl(device.get(), TUNSETIFF, &request) != 0) return failed(macvtap, "");
    return device;
  }
  UniqueFd device(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!device) return failed("/dev/net/tun", "load the module tun, and have the file readable and writable");
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(device.get(), TUNSETIFF, &request) == 0) return device;
  if (errno == EBUSY) return failed("/dev/net/tun", "another program uses the interface");
  if (errno == EPERM)
    return failed("/dev/net/tun",
                  fmt::format("have it belong to you: sudo ip tuntap add {} mode tap user $USER", name));
  return failed(
      "/dev/net/tun",
      "it has to be a tap interface, and not of several queues (multi_queue): see `ip -details link`");
}

class Opener {
 public:
  Opener(const NetworkFiles& files, const NetworkOpening& opening, const std::string& where,
         machine::Descriptors& descriptors)
      : files_(files), opening_(opening), where_(where), descriptors_(descriptors) {}

  Result<> operator()(const NATNetworkDeviceAttachment&) { return {}; }
  Result<> operator()(const FileHandleNetworkDeviceAttachment&) { return add_copy(); }
  Result<> operator()(const TapNetworkDeviceAttachment& tap) {
    if (tap.interface_name.empty()) return add_copy();
    return add(".file_handle", open_tap(tap.interface_name, where_ + ".interface_name"));
  }
  Result<> operator()(const PasstNetworkDeviceAttachment& passt) {
    return add(".socket", start_passt(passt, where_));
  }
  Result<> operator()(const SharedNetworkDeviceAttachment& network) {
    return add(".socket",
               join_shared_network(network, opening_.mac_address, opening_.machine_program, where_));
  }

 private:
  Result<> add_copy() { return add(".file_handle", duplicate(files_.handle.get(), where_ + ".file_handle")); }
  Result<> add(const char* name, Result<UniqueFd> descriptor) {
    if (!descriptor) return std::unexpected(std::move(descriptor.error()));
    descriptors_.add(where_ + name, *std::move(descriptor));
    return {};
  }

  const NetworkFiles& files_;
  const NetworkOpening& opening_;
  const std::string& where_;
  machine::Descriptors& descriptors_;
};

}  // namespace

Result<NetworkFiles> make_network_files(const NetworkDeviceAttachment& attachment, const std::string& where) {
  NetworkFiles files;
  if (const int handle = handle_of(attachment); handle >= 0) {
    auto copy = duplicate(handle, where + ".file_handle");
    if (!copy) return std::unexpected(std::move(copy.error()));
    files.handle = *std::move(copy);
  }
  return files;
}

Result<std::vector<NetworkFiles>> make_network_files(const VirtualMachineConfiguration& configuration) {
  std::vector<NetworkFiles> result;
  for (const auto& device : configuration.network_devices) {
    const auto& attachment = std::get<VirtioNetworkDeviceConfiguration>(device).attachment;
    auto files = make_network_files(attachment.value_or(NATNetworkDeviceAttachment{}),
                                    fmt::format("network_devices[{}].attachment", result.size()));
    if (!files) return std::unexpected(std::move(files.error()));
    result.push_back(*std::move(files));
  }
  return result;
}

NetworkDeviceAttachment with_own_handle(NetworkDeviceAttachment attachment, const NetworkFiles& files) {
  if (auto* file = std::get_if<FileHandleNetworkDeviceAttachment>(&attachment)) {
    file->file_handle = files.handle.get();
  } else if (auto* tap = std::get_if<TapNetworkDeviceAttachment>(&attachment)) {
    tap->file_handle = files.handle.get();
  }
  return attachment;
}

Result<> open_network(const NetworkDeviceAttachment& attachment, const NetworkFiles& files,
                      const NetworkOpening& opening, const std::string& where,
                      machine::Descriptors& descriptors) {
  return std::visit(Opener(files, opening, where, descriptors), attachment);
}

}  // namespace alcove::client
