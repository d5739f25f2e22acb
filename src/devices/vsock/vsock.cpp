#include "devices/vsock/vsock.h"

#include <array>
#include <cstring>

#include "spec/virtio.h"

namespace alcove::devices::vsock {

namespace {

// Receive, transmit, events.
constexpr std::array<uint16_t, wire::kQueueCount> kQueueSizes{256, 256, 64};

std::unexpected<Error> no_driver() {
  return fail(ErrorCode::network_error, "", "the guest has no driver for its socket device at work",
              "it needs the kernel module vmw_vsock_virtio_transport, and time to boot");
}

}  // namespace

Vsock::Vsock(uint64_t guest_cid, Switchboard::Asked asked)
    : configuration_{.guest_cid = guest_cid}, asked_(std::move(asked)), thread_("vsock") {}

Vsock::~Vsock() {
  deactivate();
}

void Vsock::connect(uint32_t guest_port, UniqueFd socket, std::chrono::milliseconds timeout,
                    Switchboard::Connected connected) {
  thread_.loop().post(
      [this, guest_port, socket = std::move(socket), timeout, connected = std::move(connected)]() mutable {
        if (!switchboard_) return connected(no_driver());
        switchboard_->connect(guest_port, std::move(socket), timeout, std::move(connected));
      });
}

void Vsock::answer(uint64_t id, UniqueFd socket, std::move_only_function<void(Result<>)> answered) {
  thread_.loop().post([this, id, socket = std::move(socket), answered = std::move(answered)]() mutable {
    if (!switchboard_) {
      questions_.unanswered.erase(id);
      return answered(no_driver());
    }
    answered(switchboard_->answer(id, std::move(socket)));
  });
}

size_t Vsock::connection_count() {
  size_t count = 0;
  thread_.loop().call([&] { count = switchboard_ ? switchboard_->connection_count() : 0; });
  return count;
}

uint16_t Vsock::device_id() const {
  return spec::virtio::kSocketDevice;
}

std::span<const uint16_t> Vsock::queue_sizes() const {
  return kQueueSizes;
}

void Vsock::read_config(uint32_t offset, std::span<std::byte> out) {
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration_) + offset, out.size());
}

void Vsock::activate(virtio::Activation activation) {
  thread_.loop().call([&] {
    switchboard_ = std::make_unique<Switchboard>(thread_.loop(), configuration_.guest_cid,
                                                 std::move(activation), asked_, questions_);
    switchboard_->start();
  });
}

void Vsock::deactivate() {
  thread_.loop().call([this] { switchboard_.reset(); });
}

void Vsock::pause() {
  thread_.loop().call([this] { switchboard_->halt(); });
}

void Vsock::resume() {
  thread_.loop().call([this] { switchboard_->start(); });
}

}  // namespace alcove::devices::vsock
