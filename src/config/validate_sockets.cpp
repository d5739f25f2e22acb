#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <map>

#include "config/guest_readiness.h"
#include "config/validate.h"

namespace alcove::config {
namespace {

constexpr uint32_t kFirstCid = 3, kLastCid = 0xfffffffe;  // Virtio 1.2, section 5.10.4.1
constexpr uint32_t kNoPort = 0xffffffff;                  // VMADDR_PORT_ANY
constexpr size_t kLongestPath = sizeof(sockaddr_un::sun_path) - 1;

class SocketValidator {
 public:
  explicit SocketValidator(Problems& problems) : problems_(problems) {}

  void validate(const VirtioSocketDeviceConfiguration& device, const std::string& where) {
    if (device.guest_cid < kFirstCid || device.guest_cid > kLastCid) {
      problems_.add(where + ".guest_cid", fmt::format("{} can't be a guest's", device.guest_cid),
                    fmt::format("{} to {}; any machine may have 3", kFirstCid, kLastCid));
    }
    for (size_t index = 0; index < device.bridges.size(); ++index)
      validate(device.bridges[index], fmt::format("{}.bridges[{}]", where, index));
  }

 private:
  void validate(const UNIXSocketBridge& bridge, const std::string& where) {
    const bool to_guest = bridge.direction == SocketBridgeDirection::to_guest;
    if (bridge.port == 0 || bridge.port == kNoPort) {
      problems_.add(where + ".port", bridge.port == 0 ? "is not set" : "means any port",
                    fmt::format("1 to {}", kNoPort - 1));
    } else if (!to_guest && bridge.port == kReadinessPort) {
      problems_.add(where + ".port", fmt::format("{} is where guests tell that they are up", bridge.port),
                    "choose another");
    } else if (!to_guest) {
      const auto [other, is_first] = ports_.try_emplace(bridge.port, where);
      if (!is_first)
        problems_.add(where + ".port", fmt::format("{} is also that of {}", bridge.port, other->second),
                      "each bridge to the host needs its own");
    }
    const std::string path = bridge.path.string();
    if (path.empty()) {
      problems_.add(where + ".path", "is empty", "name a UNIX socket of the host");
    } else if (path.size() > kLongestPath) {
      problems_.add(where + ".path", fmt::format("{} has {} bytes", path, path.size()),
                    fmt::format("a socket's path has at most {}", kLongestPath));
    } else if (to_guest) {
      validate_own(bridge.path, where + ".path");
    }
  }

  // One that is made.
  void validate_own(const std::filesystem::path& path, const std::string& where) {
    const auto [other, is_first] = paths_.try_emplace(path.lexically_normal(), where);
    if (!is_first) {
      return problems_.add(where, fmt::format("{} is also {}", path.string(), other->second),
                           "each bridge to the guest needs its own");
    }
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
      return problems_.add(where, fmt::format("{} exists and is no socket", path.string()),
                           "name a socket that is to be made");
    }
    const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
    if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
      problems_.add(where, fmt::format("there is no folder {}", folder.string()), "make it first");
  }

  Problems& problems_;
  std::map<uint32_t, std::string> ports_;
  std::map<std::filesystem::path, std::string> paths_;
};

}  // namespace

void validate_sockets(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto& devices = configuration.socket_devices;
  if (devices.size() > 1) {
    problems.add("socket_devices", fmt::format("there are {}", devices.size()), "a machine has at most one");
  }
  SocketValidator validator(problems);
  for (size_t index = 0; index < devices.size(); ++index) {
    validator.validate(std::get<VirtioSocketDeviceConfiguration>(devices[index]),
                       fmt::format("socket_devices[{}]", index));
  }
}

}  // namespace alcove::config
