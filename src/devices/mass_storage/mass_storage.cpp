#include "devices/mass_storage/mass_storage.h"

#include <utility>

namespace alcove::devices::mass_storage {

using namespace spec::usb_storage;
using usb::Transfer;

namespace {

constexpr uint16_t kPacketSize = 1024;

usb::AlternateDescription bulk_only() {
  return {.interface_class = spec::usb::kClassMassStorage,
          .interface_subclass = kSubclassScsi,
          .interface_protocol = kProtocolBulkOnly,
          .extra = {},
          .endpoints = {{.address = BulkOnly::kIn, .max_packet_size = kPacketSize},
                        {.address = BulkOnly::kOut, .max_packet_size = kPacketSize}}};
}

usb::EndpointDescription pipe(uint8_t address, uint8_t usage, bool has_streams) {
  usb::EndpointDescription endpoint{
      .address = address,
      .max_packet_size = kPacketSize,
      .stream_exponent = has_streams ? AttachedScsi::kStreamExponent : uint8_t{0}};
  usb::append(endpoint.extra, PipeUsageDescriptor{.pipe = usage});
  return endpoint;
}

usb::AlternateDescription attached_scsi() {
  return {.interface_class = spec::usb::kClassMassStorage,
          .interface_subclass = kSubclassScsi,
          .interface_protocol = kProtocolUas,
          .extra = {},
          .endpoints = {pipe(AttachedScsi::kCommand, kPipeCommand, false),
                        pipe(AttachedScsi::kStatus, kPipeStatus, true),
                        pipe(AttachedScsi::kIn, kPipeDataIn, true),
                        pipe(AttachedScsi::kOut, kPipeDataOut, true)}};
}

usb::DeviceDescription description(const MassStorageOptions& options) {
  usb::DeviceDescription device{.speed = usb::Speed::super,
                                .product = spec::usb::kProductStorage,
                                .product_name = options.is_optical ? "CD-ROM" : "USB Disk",
                                .serial = options.serial,
                                .alternates = {bulk_only()}};
  if (options.has_attached_scsi) device.alternates.push_back(attached_scsi());
  return device;
}

}  // namespace

MassStorage::MassStorage(std::unique_ptr<storage::Disk> disk, const MassStorageOptions& options,
                         exec::Executor& executor)
    : FunctionDevice(description(options)),
      executor_(executor),
      bulk_only_(unit_, [this](uint8_t endpoint) { halt(endpoint); }),
      attached_scsi_(unit_, [this](uint8_t endpoint) { halt(endpoint); }),
      unit_(std::move(disk), options, executor, [this] { return weak_from_this(); }) {}

void MassStorage::resume() {
  unit_.resume();
  executor_.post([weak = weak_from_this()] {
    const auto device = weak.lock();
    if (!device) return;
    device->bulk_only_.advance();
    device->attached_scsi_.advance();
  });
}

void MassStorage::reset() {
  FunctionDevice::reset();
  restart();
}

void MassStorage::restart() {
  bulk_only_.restart();
  attached_scsi_.restart();
}

std::optional<Bytes> MassStorage::interface_request(const spec::usb::SetupPacket& setup,
                                                    std::span<const std::byte>) {
  const bool in = setup.request_type & spec::usb::kDirectionIn;
  const bool is_class = (setup.request_type & spec::usb::kTypeMask) == spec::usb::kTypeClass;
  if (!is_class || alternate() != 0) return std::nullopt;
  if (setup.request == kGetMaximumUnit && in) return Bytes{std::byte{0}};
  if (setup.request == kBulkOnlyReset && !in) {
    restart();
    return Bytes();
  }
  return std::nullopt;
}

void MassStorage::halt_cleared(uint8_t endpoint) {
  if (alternate() == 0) bulk_only_.halt_cleared(endpoint);
}

void MassStorage::submit(Transfer& transfer) {
  if (!is_configured() || is_halted(transfer.endpoint()))
    return transfer.complete(Transfer::Status::stall, 0);
  if (alternate() == 0) return bulk_only_.submit(transfer);
  attached_scsi_.submit(transfer);
}

bool MassStorage::cancel(Transfer& transfer) {
  // The disk's thread may still be with one of the transport that was in use before.
  const bool bulk_only = bulk_only_.cancel(transfer);
  return attached_scsi_.cancel(transfer) && bulk_only;
}

}  // namespace alcove::devices::mass_storage
