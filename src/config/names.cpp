#include "config/names.h"

namespace alcove {
namespace {

template <class Enumeration>
std::string_view name_of(Enumeration value) {
  for (const auto& [known, name] : config::kNames<Enumeration>) {
    if (known == value) return name;
  }
  return "unknown";
}

}  // namespace

std::string_view to_string(HypervisorChoice value) {
  return name_of(value);
}
std::string_view to_string(DiskImageFormat value) {
  return name_of(value);
}
std::string_view to_string(DiskImageCachingMode value) {
  return name_of(value);
}
std::string_view to_string(DiskImageSynchronizationMode value) {
  return name_of(value);
}
std::string_view to_string(DiskImageLockingMode value) {
  return name_of(value);
}
std::string_view to_string(NetworkRuleAction value) {
  return name_of(value);
}
std::string_view to_string(TransportProtocol value) {
  return name_of(value);
}
std::string_view to_string(SharedDirectoryCachingMode value) {
  return name_of(value);
}
std::string_view to_string(SocketBridgeDirection value) {
  return name_of(value);
}
std::string_view to_string(AudioSampleFormat value) {
  return name_of(value);
}

template <class Enumeration>
std::optional<Enumeration> from_string(std::string_view text) {
  for (const auto& [known, name] : config::kNames<Enumeration>) {
    if (name == text) return known;
  }
  return {};
}

template std::optional<HypervisorChoice> from_string(std::string_view);
template std::optional<DiskImageFormat> from_string(std::string_view);
template std::optional<DiskImageCachingMode> from_string(std::string_view);
template std::optional<DiskImageSynchronizationMode> from_string(std::string_view);
template std::optional<DiskImageLockingMode> from_string(std::string_view);
template std::optional<NetworkRuleAction> from_string(std::string_view);
template std::optional<TransportProtocol> from_string(std::string_view);
template std::optional<SharedDirectoryCachingMode> from_string(std::string_view);
template std::optional<SocketBridgeDirection> from_string(std::string_view);
template std::optional<AudioSampleFormat> from_string(std::string_view);

}  // namespace alcove
