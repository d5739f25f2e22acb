#include "usb/function_device.h"

#include <algorithm>
#include <utility>

namespace alcove::usb {

using namespace spec::usb;

namespace {

constexpr std::string_view kManufacturer = "Alcove";
enum StringIndex : uint8_t { kManufacturerString = 1, kProductString, kSerialString };

// USB 2.0, section 9.6.7: UTF-16; our names are ASCII.
Bytes string_descriptor(std::string_view text) {
  Bytes bytes = {static_cast<std::byte>(2 + 2 * std::min<size_t>(text.size(), 126)), std::byte{kStringType}};
  for (const char c : text.substr(0, 126)) append(bytes, static_cast<uint16_t>(static_cast<uint8_t>(c)));
  return bytes;
}

template <class T>
Bytes bytes_of(const T& value) {
  Bytes bytes;
  append(bytes, value);
  return bytes;
}

}  // namespace

FunctionDevice::FunctionDevice(DeviceDescription description) : description_(std::move(description)) {}

void FunctionDevice::reset() {
  configuration_ = 0;
  alternate_ = 0;
  halted_.reset();
}

std::optional<Bytes> FunctionDevice::control(const SetupPacket& setup, std::span<const std::byte> data) {
  if ((setup.request_type & kTypeMask) == kTypeStandard) {
    if (auto answer = standard(setup)) return answer;
  }
  if ((setup.request_type & kRecipientMask) != kRecipientInterface || !is_configured() || setup.index != 0) {
    return std::nullopt;
  }
  return interface_request(setup, data);
}

std::optional<Bytes> FunctionDevice::standard(const SetupPacket& setup) {
  const uint8_t recipient = setup.request_type & kRecipientMask;
  const bool in = setup.request_type & kDirectionIn;
  if (recipient == kRecipientDevice) {
    switch (setup.request) {
      case kGetStatus:
        if (in) return bytes_of(uint16_t{1});  // Self-powered.
        break;
      case kGetDescriptor:
        if (in) return get_descriptor(static_cast<uint8_t>(setup.value >> 8), setup.value & 0xFF);
        break;
      case kGetConfiguration:
        if (in) return bytes_of(configuration_);
        break;
      case kSetConfiguration:
        if (!in) return set_configuration(setup.value);
        break;
      case kClearFeature:
      case kSetFeature:
      case kSetAddress:
      case kSetSel:
      case kSetIsochDelay:
        if (!in) return Bytes();  // Power management that a virtual bus has no need of.
        break;
      default:
        break;
    }
  } else if (recipient == kRecipientInterface && is_configured() && setup.index == 0) {
    if (setup.request == kGetStatus && in) return bytes_of(uint16_t{0});
    if (setup.request == kGetInterface && in) return bytes_of(alternate_);
    if (setup.request == kSetInterface && !in) return set_interface(setup.value);
    if ((setup.request == kClearFeature || setup.request == kSetFeature) && !in) return Bytes();
  } else if (recipient == kRecipientEndpoint && has_endpoint(setup.index)) {
    const auto endpoint = static_cast<uint8_t>(setup.index);
    if (setup.request == kGetStatus && in) return bytes_of(static_cast<uint16_t>(is_halted(endpoint)));
    if (setup.value != kFeatureEndpointHalt || in) return std::nullopt;
    if (setup.request == kSetFeature) {
      halted_[index(endpoint)] = true;
      return Bytes();
    }
    if (setup.request == kClearFeature) {
      halted_[index(endpoint)] = false;
      halt_cleared(endpoint);
      return Bytes();
    }
  }
  return std::nullopt;
}

bool FunctionDevice::has_endpoint(uint16_t address) const {
  if (address == 0 || address == kDirectionIn) return true;
  if (!is_configured()) return false;
  const auto& endpoints = description_.alternates[alternate_].endpoints;
  return std::ranges::find(endpoints, address, &EndpointDescription::address) != endpoints.end();
}

std::optional<Bytes> FunctionDevice::set_configuration(uint16_t value) {
  if (value > 1) return std::nullopt;
  configuration_ = static_cast<uint8_t>(value);
  alternate_ = 0;
  halted_.reset();
  configured();
  return Bytes();
}

std::optional<Bytes> FunctionDevice::set_interface(uint16_t alternate) {
  if (alternate >= description_.alternates.size()) return std::nullopt;
  alternate_ = static_cast<uint8_t>(alternate);
  halted_.reset();
  configured();
  return Bytes();
}

std::optional<Bytes> FunctionDevice::get_descriptor(uint8_t type, uint8_t which) const {
  if (type == kDeviceType) return device_descriptor();
  if (type == kConfigurationType && which == 0) return configuration_descriptor();
  if (type == kBosType) return bos_descriptor();
  if (type == kQualifierType && description_.speed == Speed::high) {
    return bytes_of(DeviceQualifier{.version = 0x0210});
  }
  if (type != kStringType) return std::nullopt;
  switch (which) {
    case 0: {
      Bytes languages = {std::byte{4}, std::byte{kStringType}};
      append(languages, kLanguageEnglish);
      return languages;
    }
    case kManufacturerString:
      return string_descriptor(kManufacturer);
    case kProductString:
      return string_descriptor(description_.product_name);
    case kSerialString:
      if (!description_.serial.empty()) return string_descriptor(description_.serial);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

Bytes FunctionDevice::device_descriptor() const {
  const bool super = description_.speed == Speed::super;
  return bytes_of(DeviceDescriptor{
      .version = static_cast<uint16_t>(super ? 0x0300 : 0x0210),
      .max_packet_size = static_cast<uint8_t>(super ? 9 : 64),
      .vendor = description_.vendor,
      .product = description_.product,
      .release = 0x0100,
      .manufacturer_string = kManufacturerString,
      .product_string = kProductString,
      .serial_string = static_cast<uint8_t>(description_.serial.empty() ? 0 : kSerialString)});
}

Bytes FunctionDevice::configuration_descriptor() const {
  Bytes bytes;
  append(bytes, ConfigurationDescriptor{});
  for (size_t alternate = 0; alternate < description_.alternates.size(); ++alternate) {
    const AlternateDescription& what = description_.alternates[alternate];
    append(bytes, InterfaceDescriptor{.alternate = static_cast<uint8_t>(alternate),
                                      .endpoint_count = static_cast<uint8_t>(what.endpoints.size()),
                                      .interface_class = what.interface_class,
                                      .interface_subclass = what.interface_subclass,
                                      .interface_protocol = what.interface_protocol});
    bytes.insert(bytes.end(), what.extra.begin(), what.extra.end());
    for (const EndpointDescription& endpoint : what.endpoints) {
      append(bytes, EndpointDescriptor{.address = endpoint.address,
                                       .attributes = endpoint.kind,
                                       .max_packet_size = endpoint.max_packet_size,
                                       .interval = endpoint.interval});
      if (description_.speed == Speed::super) {
        append(bytes, SuperSpeedCompanion{.max_burst = static_cast<uint8_t>(endpoint.kind == kBulk ? 15 : 0),
                                          .attributes = endpoint.stream_exponent,
                                          .bytes_per_interval = static_cast<uint16_t>(
                                              endpoint.kind == kBulk ? 0 : endpoint.max_packet_size)});
      }
      bytes.insert(bytes.end(), endpoint.extra.begin(), endpoint.extra.end());
    }
  }
  const auto total = static_cast<uint16_t>(bytes.size());
  bytes[2] = static_cast<std::byte>(total);
  bytes[3] = static_cast<std::byte>(total >> 8);
  return bytes;
}

Bytes FunctionDevice::bos_descriptor() const {
  Bytes bytes;
  const bool super = description_.speed == Speed::super;
  const size_t size =
      sizeof(BosDescriptor) + sizeof(Usb2Extension) + (super ? sizeof(SuperSpeedCapability) : 0);
  append(bytes, BosDescriptor{.total_length = static_cast<uint16_t>(size),
                              .capability_count = static_cast<uint8_t>(super ? 2 : 1)});
  append(bytes, Usb2Extension{});
  if (super) append(bytes, SuperSpeedCapability{});
  return bytes;
}

}  // namespace alcove::usb
