// The virtio sound device (virtio 1.2, section 5.14).
//
//   std::vector<Stream::End> ends;
//   ends.push_back(std::make_unique<audio::NullOutput>());
//   devices::sound::Sound sound(std::move(ends), clock);
//
// Samples move at the clock's pace, unless a stream's end has one of its own. All of it is done on a thread
// of the device's, so that slow ends keep nobody else from anything.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/sound/catalog.h"
#include "devices/sound/stream.h"
#include "exec/event_loop.h"
#include "exec/virtual_clock.h"
#include "virtio/device.h"

namespace alcove::devices::sound {

class Sound final : public virtio::Device {
 public:
  // The clock outlives the device.
  Sound(std::vector<Stream::End> ends, exec::VirtualClock& clock);
  ~Sound() override;

  uint16_t device_id() const override;
  uint64_t features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override { return sizeof(spec::virtio_sound::Configuration); }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

 private:
  static constexpr std::array<uint16_t, 4> kQueueSizes{64, 64, 256, 256};

  static std::vector<Catalog::Stream> describe(const std::vector<Stream::End>& ends);
  // On the loop.
  void watch();
  void unwatch();
  void fail();
  void serve_control();
  void answer(virtio::Chain& chain);
  uint32_t answer_query(const Query& query, virtio::Chain& chain);
  void take_transfers(unsigned queue);
  void finish(unsigned queue, virtio::Chain& chain, const Stream::Outcome& outcome);
  // What puts a stream's buffers back into its queue.
  Stream::Finish finish_of(const Stream& stream);
  void notify_transfers();
  void advance();

  const Catalog catalog_;
  // The loop's thread only.
  std::vector<Stream> streams_;
  virtio::Activation activation_;
  bool running_ = false;

  exec::VirtualClock& clock_;
  exec::LoopThread thread_{"sound"};  // It ends before what it uses.
  exec::Timer timer_;
};

}  // namespace alcove::devices::sound
