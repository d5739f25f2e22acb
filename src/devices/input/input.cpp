#include "devices/input/input.h"

#include <linux/input.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "spec/virtio.h"

namespace alcove::devices::input {

namespace wire = spec::virtio_input;

Input::Input(exec::EventLoop& loop, Description description)
    : loop_(loop), description_(std::move(description)) {}

Input::~Input() = default;

uint16_t Input::device_id() const {
  return spec::virtio::kInputDevice;
}

// Configuration.

namespace {

constexpr uint16_t kVendor = 0xa1c0;  // On the virtual bus there is no registry of vendors.

void put(wire::Configuration& answer, const void* data, size_t size) {
  answer.size = static_cast<uint8_t>(std::min(size, wire::kDataSize));
  std::memcpy(answer.data, data, answer.size);
}

void put_bits(wire::Configuration& answer, std::span<const uint16_t> numbers) {
  for (const uint16_t number : numbers) {
    const size_t byte = number / 8;
    if (byte >= wire::kDataSize) continue;
    answer.data[byte] |= static_cast<uint8_t>(1 << number % 8);
    answer.size = std::max(answer.size, static_cast<uint8_t>(byte + 1));
  }
}

}  // namespace

// Section 5.8.5.2: size 0 says that there is no such thing.
wire::Configuration Input::answer() const {
  wire::Configuration answer{.select = select_, .sub_selection = sub_selection_};
  switch (select_) {
    case wire::kSelectName:
      put(answer, description_.name.data(), description_.name.size());
      break;
    case wire::kSelectIds: {
      const wire::Ids ids{
          .bus = BUS_VIRTUAL, .vendor = kVendor, .product = description_.product, .version = 1};
      put(answer, &ids, sizeof ids);
      break;
    }
    case wire::kSelectProperties: {
      const auto bits = static_cast<uint32_t>(description_.properties.to_ulong());
      if (bits) put(answer, &bits, sizeof bits);
      break;
    }
    case wire::kSelectEvents:
      if (const auto type = description_.events.find(sub_selection_); type != description_.events.end()) {
        answer.size = 1;
        put_bits(answer, type->second);
      }
      break;
    case wire::kSelectAxis:
      if (const auto axis = description_.axes.find(sub_selection_); axis != description_.axes.end())
        put(answer, &axis->second, sizeof axis->second);
      break;
    default:
      break;
  }
  return answer;
}

void Input::read_config(uint32_t offset, std::span<std::byte> out) {
  const wire::Configuration configuration = answer();
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration) + offset, out.size());
}

void Input::write_config(uint32_t offset, std::span<const std::byte> in) {
  for (const std::byte byte : in) {
    if (offset == offsetof(wire::Configuration, select)) select_ = static_cast<uint8_t>(byte);
    if (offset == offsetof(wire::Configuration, sub_selection)) sub_selection_ = static_cast<uint8_t>(byte);
    ++offset;
  }
}

// Events.

void Input::activate(virtio::Activation activation) {
  {
    const std::lock_guard lock(mutex_);
    begin();
  }
  loop_.call([&] {
    activation_ = std::move(activation);
    outgoing_.clear();
  });
  resume();
  has_driver_ = activation_.queues[wire::kEventQueue] != nullptr;
}

void Input::deactivate() {
  has_driver_ = false;
  loop_.call([this] {
    stop();
    activation_ = {};
  });
}

void Input::pause() {
  loop_.call([this] { stop(); });
}

void Input::stop() {
  if (!std::exchange(running_, false)) return;
  for (const int doorbell : activation_.doorbells) loop_.unwatch(doorbell);
}

void Input::resume() {
  loop_.call([this] {
    if (running_ || activation_.queues.empty()) return;
    running_ = true;
    const auto watch = [&](unsigned index, auto work) {
      if (!activation_.queues[index]) return;
      const int doorbell = activation_.doorbells[index];
      loop_.watch(doorbell, EPOLLIN, [doorbell, work](uint32_t) mutable {
        eventfd_t ignored;
        eventfd_read(doorbell, &ignored);
        work();
      });
      eventfd_write(doorbell, 1);  // There may be buffers already.
    };
    watch(wire::kEventQueue, [this] { fill(); });
    watch(wire::kStatusQueue, [this] { drain_status(); });
  });
}

void Input::fail() {
  stop();
  activation_.interrupts->needs_reset();
}

void Input::wake() {
  if (is_woken_.exchange(true)) return;
  loop_.post([this] {
    is_woken_ = false;
    fill();
  });
}

void Input::fill() {
  if (!running_ || !activation_.queues[wire::kEventQueue]) return;
  virtio::Queue& queue = *activation_.queues[wire::kEventQueue];
  while (true) {
    if (outgoing_.empty()) {
      std::vector<Event> report;
      {
        const std::lock_guard lock(mutex_);
        next(report);
      }
      if (report.empty()) break;
      outgoing_.assign(report.begin(), report.end());
      outgoing_.push_back({.type = EV_SYN, .code = SYN_REPORT, .value = 0});
    }
    auto chain = queue.pop();
    if (chain && !*chain) {
      queue.set_wants_notifications(true);
      chain = queue.pop();
    }
    if (!chain) return fail();
    if (!*chain) break;
    queue.set_wants_notifications(false);
    const Event event = outgoing_.front();
    if ((*chain)->write(0, std::as_bytes(std::span(&event, 1))) < sizeof event) return fail();
    outgoing_.pop_front();
    queue.push(**chain, sizeof event);
  }
  queue.notify();
}

// The driver tells of its lights and the like (5.8.6.1): nothing here has any.
void Input::drain_status() {
  if (!running_ || !activation_.queues[wire::kStatusQueue]) return;
  virtio::Queue& queue = *activation_.queues[wire::kStatusQueue];
  for (unsigned count = 0; count < queue.size(); ++count) {
    auto chain = queue.pop();
    if (!chain) return fail();
    if (!*chain) return queue.notify();
    queue.push(**chain, 0);
  }
  queue.notify();
  eventfd_write(activation_.doorbells[wire::kStatusQueue], 1);  // Come back, after the loop's other work.
}

}  // namespace alcove::devices::input
