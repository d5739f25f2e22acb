// The I/O APIC (Intel 82093AA datasheet; version 0x20 adds the EOI register).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "bus/bus.h"

namespace alcove::chips {

class IoApic final : public bus::Device {
 public:
  static constexpr unsigned kPins = 24;
  using LevelVectors = std::array<uint64_t, 4>;

  // `level_vectors_changed` is told which vectors need end_of_interrupt(). Both are called without locks of
  // the chip's held that a call back into it would need.
  IoApic(bus::MessageSink& sink, std::function<void(const LevelVectors&)> level_vectors_changed);

  bus::InterruptLine& line(unsigned pin) { return lines_[pin]; }

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;

  // A processor is done with a level-triggered interrupt; sends it again while its line is up.
  void end_of_interrupt(uint8_t vector);

  // As after power-on. The lines stay as their devices drive them.
  void reset();

 private:
  struct Line final : bus::InterruptLine {
    void set(bool asserted) override { chip->set_line(pin, asserted); }
    IoApic* chip = nullptr;
    unsigned pin = 0;
  };
  struct Outbox {
    std::array<bus::Message, kPins> messages;
    unsigned count = 0;
  };

  void set_line(unsigned pin, bool asserted);
  // Sends the pin's interrupt if its state asks for it. `edge`: its line has just come up.
  void deliver(unsigned pin, bool edge, Outbox& out);
  uint32_t read_register(uint8_t index) const;
  void write_register(uint8_t index, uint32_t value, Outbox& out);
  void finish_vector(uint8_t vector, Outbox& out);
  void send(const Outbox& out);
  void publish_level_vectors();

  bus::MessageSink& sink_;
  std::function<void(const LevelVectors&)> level_vectors_changed_;
  std::array<Line, kPins> lines_;

  std::mutex publish_mutex_;  // Held before mutex_: keeps publications in the order of the states they tell.
  LevelVectors published_{};

  std::mutex mutex_;
  uint8_t select_ = 0;
  uint8_t id_ = 0;
  std::array<uint64_t, kPins> entries_{};
  std::array<bool, kPins> asserted_{};
};

}  // namespace alcove::chips
