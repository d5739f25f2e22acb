// The virtio network card (virtio 1.2, section 5.1) with one pair of queues and a control queue.
//
// A machine makes one like this, with a thread for each card, and destroys the parts in the opposite order:
//
//   exec::LoopThread thread("net0");
//   auto nat = network::NatNetwork::create(thread.loop(), {.mac_address = mac, .port_forwards = forwards});
//   devices::net::Net card(thread.loop(), {.mac_address = mac});
//   card.plug(nat->get());
#pragma once

#include <alcove/mac_address.h>
#include <alcove/network.h>

#include <memory>
#include <mutex>
#include <optional>

#include "devices/net/receive_filter.h"
#include "devices/net/receiver.h"
#include "devices/net/segment_merger.h"
#include "devices/net/transmit_frame.h"
#include "exec/event_loop.h"
#include "network/network.h"
#include "virtio/device.h"

namespace alcove::devices::net {

struct NetOptions {
  MACAddress mac_address;
  uint16_t mtu = 1500;
};

// Works on `loop`, which is the network's as well and must run.
class Net final : public virtio::Device, public network::FrameReceiver {
 public:
  Net(exec::EventLoop& loop, NetOptions options);
  ~Net() override;

  // Plugs the cable into a network, which must outlive that; null pulls it. The guest sees its link go up or
  // down. Where the cable was plugged in before, the link comes up again once the guest has seen that it is
  // down, or after a second, so that the guest asks for an address anew. Any thread.
  void plug(network::Network* network);
  NetworkDeviceStatistics statistics() const;  // Any thread.

  uint16_t device_id() const override;
  uint64_t features() const override;
  std::span<const uint16_t> queue_sizes() const override;
  uint32_t config_size() const override { return sizeof(spec::virtio_net::Configuration); }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

  void receive(std::span<const std::byte> frame, network::Checksums checksums) override;
  // Looks at all queues, as after their notifications. The loop's thread.
  void serve();

 private:
  // What there is between activate() and deactivate().
  struct Session {
    Session(virtio::Activation given, MACAddress mac);
    virtio::Interrupts* interrupts;
    const uint64_t features;
    const std::vector<int> doorbells;
    std::optional<Receiver> receiver;
    std::unique_ptr<virtio::Queue> transmit, control;
    ReceiveFilter filter;
    SegmentMerger merger;
  };
  void start();
  void halt();
  void serve_receive();
  void serve_transmit();
  void serve_control();
  void send(const virtio::Chain& chain);
  void acknowledge(virtio::Chain& chain);
  void connect(network::Network* network);
  void connect_waiting();
  bool deliver_held();
  void deliver_soon();
  void fail();
  // With what the session's receiver has counted.
  NetworkDeviceStatistics all_statistics() const;

  exec::EventLoop& loop_;
  const NetOptions options_;

  mutable std::mutex mutex_;  // Guards what virtual CPUs read at any time.
  spec::virtio_net::Configuration configuration_{};
  bool look_awaited_ = false;  // At the link's status, while it is down.

  // The loop's thread only.
  network::Network* network_ = nullptr;
  network::Network* waiting_network_ = nullptr;  // To be plugged in; null: none.
  std::optional<exec::EventLoop::TimerId> waiting_until_;
  std::optional<Session> session_;
  bool running_ = false, paused_ = false, delivery_posted_ = false;
  TransmitFrame::Buffer buffer_ = TransmitFrame::make_buffer();
  NetworkDeviceStatistics statistics_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace alcove::devices::net
