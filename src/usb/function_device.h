// What all our USB devices have in common: descriptors, standard requests, halted endpoints (USB 2.0, section
// 9.4).
#pragma once

#include <array>
#include <bitset>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "usb/device.h"

namespace alcove::usb {

using Bytes = std::vector<std::byte>;

// Appends structures of spec/usb.h and others.
template <class T>
void append(Bytes& bytes, const T& value) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

struct EndpointDescription {
  uint8_t address = 0;
  uint8_t kind = spec::usb::kBulk;
  uint16_t max_packet_size = 0;
  uint8_t interval = 0;
  uint8_t stream_exponent = 0;  // SuperSpeed.
  Bytes extra;                  // Descriptors that follow the endpoint's.
};

struct AlternateDescription {
  uint8_t interface_class = 0, interface_subclass = 0, interface_protocol = 0;
  Bytes extra;  // Descriptors that stand before the endpoints'.
  std::vector<EndpointDescription> endpoints;
};

// One configuration with one interface.
struct DeviceDescription {
  Speed speed = Speed::high;
  uint16_t vendor = spec::usb::kVendor;
  uint16_t product = 0;
  std::string product_name;
  std::string serial;  // Empty: none.
  std::vector<AlternateDescription> alternates;
};

class FunctionDevice : public Device {
 public:
  explicit FunctionDevice(DeviceDescription description);

  Speed speed() const override { return description_.speed; }
  void reset() override;
  std::optional<Bytes> control(const spec::usb::SetupPacket& setup, std::span<const std::byte> data) final;

 protected:
  // Class-specific requests, and standard ones to an interface that are not known here.
  virtual std::optional<Bytes> interface_request(const spec::usb::SetupPacket& setup,
                                                 std::span<const std::byte> data) = 0;
  // The guest chose a configuration or another alternate setting: whatever was under way is over.
  virtual void configured() {}
  virtual void halt_cleared(uint8_t /*endpoint*/) {}

  bool is_configured() const { return configuration_ != 0; }
  uint8_t alternate() const { return alternate_; }
  void halt(uint8_t endpoint) { halted_[index(endpoint)] = true; }
  bool is_halted(uint8_t endpoint) const { return halted_[index(endpoint)]; }

 private:
  static size_t index(uint8_t endpoint) { return (endpoint & 0xFu) | (endpoint & 0x80u ? 0x10u : 0u); }
  std::optional<Bytes> standard(const spec::usb::SetupPacket& setup);
  std::optional<Bytes> get_descriptor(uint8_t type, uint8_t which) const;
  std::optional<Bytes> set_configuration(uint16_t value);
  std::optional<Bytes> set_interface(uint16_t alternate);
  Bytes device_descriptor() const;
  Bytes configuration_descriptor() const;
  Bytes bos_descriptor() const;
  bool has_endpoint(uint16_t address) const;

  const DeviceDescription description_;
  uint8_t configuration_ = 0;
  uint8_t alternate_ = 0;
  std::bitset<32> halted_;
};

}  // namespace alcove::usb
