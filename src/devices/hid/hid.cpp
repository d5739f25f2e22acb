#include "devices/hid/hid.h"

#include <algorithm>
#include <cstring>

namespace alcove::devices::hid {

using namespace spec::hid;
using usb::Transfer;

namespace {

constexpr uint8_t kEndpoint = 0x81;
constexpr uint8_t kEveryMillisecond = 4;  // 2^(n-1) microframes.

Bytes hid_descriptor(size_t report_length) {
  Bytes bytes;
  usb::append(bytes, HidDescriptor{.report_length = static_cast<uint16_t>(report_length)});
  return bytes;
}

usb::DeviceDescription device_description(const HidDescription& description) {
  usb::EndpointDescription endpoint;
  endpoint.address = kEndpoint;
  endpoint.kind = spec::usb::kInterrupt;
  endpoint.max_packet_size = description.report_size;
  endpoint.interval = kEveryMillisecond;
  usb::DeviceDescription device;
  device.speed = usb::Speed::high;
  device.product = description.product;
  device.product_name = description.name;
  device.alternates = {{.interface_class = spec::usb::kClassHid,
                        .interface_subclass = description.subclass,
                        .interface_protocol = description.protocol,
                        .extra = hid_descriptor(description.report_descriptor.size()),
                        .endpoints = {endpoint}}};
  return device;
}

}  // namespace

Hid::Hid(const HidDescription& description, exec::Executor& executor)
    : FunctionDevice(device_description(description)),
      report_descriptor_(description.report_descriptor),
      executor_(executor) {}

void Hid::reset() {
  FunctionDevice::reset();
  restart();
}

void Hid::restart() {
  protocol_ = kProtocolReport;
  idle_ = 0;
  has_driver_ = false;
  if (Transfer* transfer = std::exchange(waiting_, nullptr)) transfer->complete(Transfer::Status::gone, 0);
  forget();
}

void Hid::resume() {
  paused_ = false;
  executor_.post([this] { serve(); });
}

void Hid::submit(Transfer& transfer) {
  if (!is_configured() || transfer.endpoint() != kEndpoint || is_halted(kEndpoint)) {
    return transfer.complete(Transfer::Status::stall, 0);
  }
  waiting_ = &transfer;
  has_driver_ = true;
  serve();
}

bool Hid::cancel(Transfer& transfer) {
  if (waiting_ == &transfer) waiting_ = nullptr;
  return true;
}

void Hid::serve() {
  if (!waiting_ || paused_) return;
  const auto report = next_report();
  if (!report) return;
  Transfer& transfer = *std::exchange(waiting_, nullptr);
  size_t done = 0;
  for (const iovec& buffer : transfer.buffers()) {
    const size_t part = std::min(buffer.iov_len, report->size() - done);
    if (part != 0) std::memcpy(buffer.iov_base, report->data() + done, part);
    done += part;
  }
  transfer.complete(Transfer::Status::success, done);
}

std::optional<Bytes> Hid::interface_request(const spec::usb::SetupPacket& setup,
                                            std::span<const std::byte> data) {
  const bool in = setup.request_type & spec::usb::kDirectionIn;
  if ((setup.request_type & spec::usb::kTypeMask) == spec::usb::kTypeStandard) {
    if (setup.request != spec::usb::kGetDescriptor || !in) return std::nullopt;
    if (setup.value >> 8 == kReportType) return report_descriptor_;
    if (setup.value >> 8 == kHidType) return hid_descriptor(report_descriptor_.size());
    return std::nullopt;
  }
  if ((setup.request_type & spec::usb::kTypeMask) != spec::usb::kTypeClass) return std::nullopt;
  switch (setup.request) {
    case kGetReport:
      if (in) return report();
      break;
    case kGetIdle:
      if (in) return Bytes{std::byte{idle_}};
      break;
    case kGetProtocol:
      if (in) return Bytes{std::byte{protocol_}};
      break;
    case kSetReport:
      if (in) break;
      set_report(data);
      return Bytes();
    case kSetIdle:
      if (in) break;
      idle_ = static_cast<uint8_t>(setup.value >> 8);  // Kept: reports come with changes alone.
      return Bytes();
    case kSetProtocol:
      if (in || setup.value > kProtocolReport) break;
      protocol_ = static_cast<uint8_t>(setup.value);
      return Bytes();
    default:
      break;
  }
  return std::nullopt;
}

}  // namespace alcove::devices::hid
