// A hostile USB host of a mass storage device: requests, command blocks and units, data of any size in any
// order, with either transport.
#include <algorithm>
#include <array>
#include <deque>
#include <map>

#include "devices/mass_storage/testing/host.h"

using namespace alcove;
using namespace alcove::devices::mass_storage;
using namespace alcove::devices::mass_storage::testing;

namespace {

// The device as it is at first: configured, with its medium, which may be taken out, and nothing to tell.
void power_on(Host& host) {
  using spec::usb_storage::CommandBlock, spec::usb_storage::CommandStatus;
  std::ranges::fill(host.disk->contents, std::byte{});
  host.reset();
  host.request({.request_type = 0x00, .request = spec::usb::kSetConfiguration, .value = 1});
  constexpr std::array<std::array<uint8_t, 6>, 3> kCommands = {
      {{spec::scsi::kStartStopUnit, 0, 0, 0, 3}, {spec::scsi::kPreventAllow}, {spec::scsi::kRequestSense}}};
  for (const auto& command : kCommands) {
    CommandBlock block{.signature = spec::usb_storage::kCommandSignature, .length = 6};
    std::ranges::copy(command, block.command.begin());
    const auto bytes = std::as_bytes(std::span(&block, 1));
    HostTransfer out(BulkOnly::kOut, Bytes(bytes.begin(), bytes.end()));
    HostTransfer in(BulkOnly::kIn, Bytes(sizeof(CommandStatus)));
    host.submit(out);
    host.submit(in);
    if (!in.status) __builtin_trap();
  }
}

// In the host's turn.
void run(Host& host, const uint8_t* data, size_t size) {
  std::deque<HostTransfer> transfers;
  power_on(host);
  const bool attached = data[0] & 2, is_drive = data[0] & 1;
  bool changed = false;
  host.disk->holds_all = data[0] & 4;
  if (attached) host.request({.request_type = 1, .request = spec::usb::kSetInterface, .value = 1});
  std::map<std::pair<uint8_t, uint16_t>, HostTransfer*> waiting;
  auto input = std::as_bytes(std::span(data + 1, size - 1));
  const auto take = [&](size_t count) {
    const auto part = input.first(std::min(count, input.size()));
    input = input.subspan(part.size());
    return Bytes(part.begin(), part.end());
  };
  const auto submit = [&](uint8_t endpoint, Bytes bytes, uint16_t stream = 0) {
    HostTransfer*& previous = waiting[{endpoint, stream}];
    if (previous && !previous->status && !host.cancel(*previous)) host.settle();
    // A transfer that is still with the disk's thread is the controller's reason to wait.
    if (previous && !previous->status && !host.cancel(*previous)) return;
    transfers.emplace_back(endpoint, std::move(bytes), stream);
    previous = &transfers.back();
    host.submit(*previous);
  };
  while (!input.empty()) {
    const auto what = std::to_integer<unsigned>(take(1)[0]);
    switch (what % (attached ? 9 : 6)) {
      case 0:
      case 1: {  // A command block, valid but for what the input says.
        spec::usb_storage::CommandBlock block{.signature = spec::usb_storage::kCommandSignature};
        Bytes bytes = take(6 + 16);
        bytes.resize(22);
        block.data_length = std::to_integer<uint32_t>(bytes[0]) << (what & 0x40 ? 8 : 0);
        block.flags = what & 0x80;
        block.length = static_cast<uint8_t>(std::to_integer<unsigned>(bytes[1]) % 17);
        std::memcpy(block.command.data(), bytes.data() + 6, 16);
        Bytes whole(sizeof block);
        std::memcpy(whole.data(), &block, sizeof block);
        submit(2, std::move(whole));
        break;
      }
      case 2:
        submit(2, take(what));
        break;
      case 3:
        submit(0x81, Bytes(what * 32));
        break;
      case 4: {
        Bytes bytes = take(8);
        bytes.resize(8);
        spec::usb::SetupPacket setup;
        std::memcpy(&setup, bytes.data(), sizeof setup);
        (void)host.request(setup, take(what >> 4));
        break;
      }
      case 6: {  // A command unit, valid but for what the input says.
        spec::usb_storage::CommandUnit unit{.tag = {0, static_cast<uint8_t>(what >> 6)}};
        const Bytes command = take(16);
        if (!command.empty()) std::memcpy(unit.command.data(), command.data(), command.size());
        Bytes whole(sizeof unit);
        std::memcpy(whole.data(), &unit, sizeof unit);
        submit(AttachedScsi::kCommand, std::move(whole));
        break;
      }
      case 7: {
        const Bytes bytes = take(1);
        const unsigned more = bytes.empty() ? 0 : std::to_integer<unsigned>(bytes[0]);
        constexpr uint8_t kEndpoints[] = {AttachedScsi::kStatus, AttachedScsi::kIn, AttachedScsi::kOut};
        submit(kEndpoints[what % 3], Bytes(more % 9 * 256), static_cast<uint16_t>(what >> 6));
        break;
      }
      case 8:
        submit(AttachedScsi::kCommand, take(what >> 2));
        break;
      default:
        if (is_drive && what & 0x40) {
          host.change_disc(what & 0x20);
          changed = true;
        }
        host.settle();
        break;
    }
  }
  if (changed) host.change_disc(true);
  host.settle();
  host.reset();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Kept, and without changes of threads: either costs more than most inputs do.
  static Host disk({.has_attached_scsi = true}), disc({.is_optical = true});
  if (size == 0) return 0;
  Host& host = data[0] & 1 ? disc : disk;
  host.loop().call([&] { run(host, data, size); });
  return 0;
}
