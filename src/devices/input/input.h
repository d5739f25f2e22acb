// The virtio input device (virtio 1.2, section 5.8): what keyboards, pointers and trackpads have in common.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "exec/event_loop.h"
#include "spec/virtio_input.h"
#include "virtio/device.h"

namespace alcove::devices::input {

using Event = spec::virtio_input::Event;
using AxisInformation = spec::virtio_input::AxisInformation;

// What the guest is told that there is.
struct Description {
  std::string name;
  uint16_t product = 0;
  std::bitset<32> properties;                        // INPUT_PROP_…
  std::map<uint16_t, std::vector<uint16_t>> events;  // Codes by type; EV_REP needs none.
  std::map<uint16_t, AxisInformation> axes;          // Those among the EV_ABS codes.
};

// Derived classes implement a sink of alcove::input: they queue what comes and call wake(). Their destructors
// begin with deactivate().
class Input : public virtio::Device {
 public:
  ~Input() override;

  uint16_t device_id() const final;
  uint64_t features() const final { return 0; }
  std::span<const uint16_t> queue_sizes() const final { return kQueueSizes; }
  uint32_t config_size() const final { return sizeof(spec::virtio_input::Configuration); }
  void read_config(uint32_t offset, std::span<std::byte> out) final;
  void write_config(uint32_t offset, std::span<const std::byte> in) final;
  void activate(virtio::Activation activation) final;
  void deactivate() final;
  void pause() final;
  void resume() final;

 protected:
  Input(exec::EventLoop& loop, Description description);

  // The guest's driver begins: forget what was.
  virtual void begin() = 0;
  // Moves what is due to `events`, if anything, as one report: without EV_SYN, which follows by itself. Both
  // are called with mutex_ held.
  virtual void next(std::vector<Event>& events) = 0;

  bool has_driver() const { return has_driver_; }
  void wake();  // Any thread, without mutex_.

  std::mutex mutex_;  // Guards what derived classes queue.

 private:
  // With room for what a hand on a trackpad makes between two looks of a slow guest.
  static constexpr std::array<uint16_t, 2> kQueueSizes{128, 16};

  spec::virtio_input::Configuration answer() const;
  // On the loop.
  void fill();
  void drain_status();
  void fail();
  void stop();

  exec::EventLoop& loop_;
  const Description description_;
  uint8_t select_ = 0, sub_selection_ = 0;  // The transport serialises accesses.
  std::atomic<bool> has_driver_ = false;
  std::atomic<bool> is_woken_ = false;

  // The loop's.
  bool running_ = false;
  virtio::Activation activation_;
  std::deque<Event> outgoing_;
};

}  // namespace alcove::devices::input
