#include "service/probe.h"

#include <alcove/literals.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstring>

#include "config/pipewire_socket.h"
#include "control/messages.h"
#include "cpu/kvm/kvm_hypervisor.h"
#include "support/unique_fd.h"

namespace alcove::service {
namespace {

Prerequisite processor() {
  utsname system{};
  ::uname(&system);
  const std::string_view machine = system.machine;
  Prerequisite result{.name = "processor", .satisfied = machine == "x86_64", .required = true};
  result.found = fmt::format("{}, Linux {}", machine, system.release);
  if (!result.satisfied) result.hint = "this version runs on x86-64 hosts only";
  return result;
}

Prerequisite memory() {
  Prerequisite result{.name = "guest memory", .required = true};
  const UniqueFd descriptor(::memfd_create("alcove probe", MFD_CLOEXEC));
  result.satisfied = static_cast<bool>(descriptor);
  result.found = result.satisfied
                     ? fmt::format("memfd; {} of memory",
                                   format_size(VirtualMachineConfiguration::maximum_allowed_memory_size()))
                     : fmt::format("no memfd: {}", std::strerror(errno));
  if (!result.satisfied)
    result.hint = "a Linux kernel with memfd_create, which a seccomp filter must not forbid";
  return result;
}

Prerequisite kvm() {
  Prerequisite result{.name = "kvm"};
  const UniqueFd descriptor(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!descriptor) {
    const bool forbidden = errno == EACCES || errno == EPERM;
    result.found = fmt::format("can't open /dev/kvm: {}", std::strerror(errno));
    result.hint = forbidden
                      ? "have yourself added to the group kvm: sudo usermod -aG kvm $USER, then log in again"
                      : "enable virtualization (VT-x, AMD-V) in the host's firmware and load kvm_intel or "
                        "kvm_amd; in a virtual machine, have nested virtualization enabled for it";
    return result;
  }
  const cpu::kvm::Assessment assessment = cpu::kvm::assess(descriptor.get());
  result.satisfied = assessment.usable && assessment.hardware_assisted;
  result.found = assessment.finding;
  result.hint = assessment.cure;
  return result;
}

Prerequisite software_engine() {
  return {.name = "software engine",
          .satisfied = true,
          .found = "runs everywhere; what \"auto\" takes without KVM"};
}

Prerequisite host_sound() {
  const std::filesystem::path socket = config::pipewire_socket();
  struct stat status{};
  Prerequisite result{.name = "host sound"};
  result.satisfied = ::stat(socket.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
  result.found = result.satisfied ? fmt::format("PipeWire at {}", socket.string())
                                  : fmt::format("no PipeWire at {}", socket.string());
  if (!result.satisfied)
    result.hint = "only for machines that use the host's sound: start it (systemctl --user start pipewire)";
  return result;
}

}  // namespace

std::vector<Prerequisite> probe() {
  return {processor(), memory(), kvm(), software_engine(), host_sound()};
}

std::string print(const std::vector<Prerequisite>& prerequisites) {
  config::Json list = config::Json::array();
  for (const Prerequisite& prerequisite : prerequisites) list.push_back(control::to_json(prerequisite));
  return config::print_json(list);
}

}  // namespace alcove::service
