// A guest's xHCI driver for tests: legal rings by its members, anything else by memory and registers.
#pragma once

#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "memory/guest_memory.h"
#include "usb/xhci.h"

namespace alcove::usb::testing {

using spec::xhci::Completion;
using spec::xhci::Trb;
using spec::xhci::TrbType;

// A ring of one page, which ends in a link to its beginning.
class Ring {
 public:
  Ring(memory::GuestMemory& memory, uint64_t address, unsigned size = 255)
      : memory_(&memory), address_(address), size_(size) {}

  // Gives the TRB's address.
  uint64_t add(Trb trb) {
    const uint64_t place = address_ + next_ * sizeof(Trb);
    put(place, trb);
    if (++next_ == size_) {
      put(address_ + next_ * sizeof(Trb),
          {.parameter = address_,
           .control = spec::xhci::type_bits(TrbType::link) | spec::xhci::kTrbToggle |
                      (trb.control & spec::xhci::kTrbChain)});
      next_ = 0;
      cycle_ = !cycle_;
    }
    return place;
  }
  uint64_t address() const { return address_; }
  uint64_t next() const { return address_ + next_ * sizeof(Trb); }
  uint64_t pointer() const { return next() | (cycle_ ? 1 : 0); }

 private:
  void put(uint64_t place, Trb trb) {
    trb.control = (trb.control & ~1u) | (cycle_ ? 1 : 0);
    (void)memory_->store(place, trb);
  }

  memory::GuestMemory* memory_;
  uint64_t address_;
  unsigned size_;
  unsigned next_ = 0;
  bool cycle_ = true;
};

struct CountingSink final : bus::MessageSink {
  void send(const bus::Message&) override { ++count; }
  std::atomic<unsigned> count = 0;
};

class FakeDriver {
 public:
  static constexpr uint64_t kMemorySize = 4 << 20;
  static constexpr uint64_t kContextArray = 0x1000, kCommandRing = 0x2000, kEventTable = 0x3000,
                            kEventRing = 0x4000, kInput = 0x5000, kOutput = 0x6000, kControlRing = 0x7000,
                            kRings = 0x10000, kData = 0x100000;
  static constexpr uint64_t kReadOnly = 8 << 20, kReadOnlySize = 64 << 10;  // As firmware's is.
  static constexpr unsigned kEventCount = 64;

  FakeDriver()
      : memory_(make_memory()),
        xhci_({.memory = &memory_, .messages = &messages_}),
        commands_(memory_, kCommandRing) {
    xhci_.write_configuration(spec::pci::kCommand, std::as_bytes(std::span(&kEnabled, 1)));
  }

  memory::GuestMemory& memory() { return memory_; }
  Xhci& xhci() { return xhci_; }
  unsigned interrupts() const { return messages_.count; }

  uint32_t read(uint32_t offset) {
    uint32_t value = 0;
    xhci_.read_bar(0, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(uint32_t offset, uint32_t value) {
    xhci_.write_bar(0, offset, std::as_bytes(std::span(&value, 1)));
  }
  void write64(uint32_t offset, uint64_t value) {
    xhci_.write_bar(0, offset, std::as_bytes(std::span(&value, 1)));
  }
  uint32_t operational(uint32_t offset) { return read(Xhci::kOperational + offset); }
  uint32_t port(unsigned number) {
    return operational(spec::xhci::kPorts + (number - 1) * spec::xhci::kPortSize);
  }
  void write_port(unsigned number, uint32_t value) {
    write(Xhci::kOperational + spec::xhci::kPorts + (number - 1) * spec::xhci::kPortSize, value);
  }

  // Until all that was asked for is done, also what tasks leave to later ones. A driver that is a task of the
  // strand itself costs no change of threads.
  void settle() {
    exec::Strand& strand = xhci_.strand();
    for (int i = 0; i < 8; ++i) {
      if (strand.on_this_thread()) {
        strand.run_posted();
      } else {
        strand.call([] {});
      }
    }
  }

  // Power-on: of the controller, and of what the driver knows of it. Memory is as it was.
  void reset() {
    xhci_.reset();
    xhci_.write_configuration(spec::pci::kCommand, std::as_bytes(std::span(&kEnabled, 1)));
    commands_ = Ring(memory_, kCommandRing);
    control = Ring(memory_, kControlRing);
    next_event_ = 0;
    event_cycle_ = true;
  }

  void run(unsigned event_count = kEventCount) {
    event_count_ = event_count;
    (void)memory_.store(kEventTable, uint64_t{kEventRing});
    (void)memory_.store(kEventTable + 8, uint32_t{event_count});
    const uint32_t interrupter = Xhci::kRuntime + spec::xhci::kInterrupterRegisters;
    write(interrupter + spec::xhci::kSegmentTableSize, 1);
    write64(interrupter + spec::xhci::kEventDequeue, kEventRing);
    write64(interrupter + spec::xhci::kSegmentTable, kEventTable);
    write(interrupter + spec::xhci::kManagement, spec::xhci::kInterruptEnable);
    write64(Xhci::kOperational + spec::xhci::kContextArray, kContextArray);
    write64(Xhci::kOperational + spec::xhci::kCommandRing, commands_.pointer());
    write(Xhci::kOperational + spec::xhci::kConfigure, Xhci::kSlots);
    write(Xhci::kOperational + spec::xhci::kUsbCommand,
          spec::xhci::kCommandRun | spec::xhci::kCommandInterrupts);
  }

  // The next event; nothing if none comes.
  std::optional<Trb> event(bool wait = true) {
    for (int tries = 0; tries < (wait ? 5000 : 1); ++tries) {
      settle();
      const auto trb = memory_.load<Trb>(kEventRing + next_event_ * sizeof(Trb));
      if ((trb->control & 1) == (event_cycle_ ? 1u : 0u)) {
        if (++next_event_ == event_count_) {
          next_event_ = 0;
          event_cycle_ = !event_cycle_;
        }
        return *trb;
      }
      if (wait) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return std::nullopt;
  }
  // Tells the controller that all events taken are done with.
  void acknowledge() {
    write64(Xhci::kRuntime + spec::xhci::kInterrupterRegisters + spec::xhci::kEventDequeue,
            (kEventRing + next_event_ * sizeof(Trb)) | spec::xhci::kEventHandlerBusy);
  }
  // The next event of a kind; others are skipped.
  std::optional<Trb> event_of(TrbType type) {
    while (auto trb = event()) {
      acknowledge();
      if (spec::xhci::type_of(*trb) == type) return trb;
    }
    return std::nullopt;
  }
  static Completion code(const Trb& event) { return static_cast<Completion>(event.status >> 24); }

  Completion command(Trb trb) {
    commands_.add(trb);
    ring(0, 0);
    const auto done = event_of(TrbType::command_completion);
    slot_of_command = done ? static_cast<uint8_t>(done->control >> 24) : 0;
    return done ? code(*done) : Completion{};
  }
  void ring(unsigned number, uint32_t target) { write(Xhci::kDoorbells + 4 * number, target); }
  Ring& commands() { return commands_; }
  uint8_t slot_of_command = 0;

  static Trb command_trb(TrbType type, unsigned slot_number, unsigned context = 0, uint64_t parameter = 0) {
    return {.parameter = parameter,
            .control = spec::xhci::type_bits(type) | slot_number << 24 | context << 16};
  }

  // Slot, address and the control endpoint, for the device at a port.
  Completion address(unsigned port) {
    if (command(command_trb(TrbType::enable_slot, 0)) != Completion::success) return Completion::no_slots;
    slot = slot_of_command;
    (void)memory_.store(kContextArray + slot * 8, uint64_t{kOutput});
    clear_input(3);
    put_input(0, {1u << 27, port << 16});
    put_input(1, {0, 4u << 3 | 512u << 16, static_cast<uint32_t>(kControlRing) | 1, 0});
    control = Ring(memory_, kControlRing);
    return command(command_trb(TrbType::address_device, slot, 0, kInput));
  }
  // Bulk endpoints by DCI, each with a ring at kRings + DCI * 0x1000.
  Completion configure(std::vector<unsigned> contexts) {
    uint32_t add = 1;
    for (const unsigned context : contexts) add |= 1u << context;
    clear_input(add);
    put_input(0, {31u << 27, 1u << 16});
    for (const unsigned context : contexts) {
      const uint32_t type = context % 2 ? 6 : 2;
      put_input(context, {0, type << 3 | 1024u << 16, static_cast<uint32_t>(ring_address(context)) | 1, 0});
    }
    return command(command_trb(TrbType::configure_endpoint, slot, 0, kInput));
  }
  static uint64_t ring_address(unsigned context) { return kRings + context * 0x1000; }
  Ring new_ring(unsigned context) { return Ring(memory_, ring_address(context)); }
  uint32_t endpoint_state(unsigned context) { return *memory_.load<uint32_t>(kOutput + context * 32) & 7; }
  uint64_t endpoint_dequeue(unsigned context) { return *memory_.load<uint64_t>(kOutput + context * 32 + 8); }

  // A control transfer to the device or without data, or from it into kData: the code it ends with.
  Completion request(spec::usb::SetupPacket setup) {
    uint64_t packet;
    std::memcpy(&packet, &setup, sizeof packet);
    const bool in = setup.request_type & 0x80;
    control.add(
        {.parameter = packet, .status = 8, .control = spec::xhci::type_bits(TrbType::setup_stage) | 1u << 6});
    if (setup.length != 0) {
      control.add({.parameter = kData,
                   .status = setup.length,
                   .control = spec::xhci::type_bits(TrbType::data_stage) | (in ? 1u << 16 : 0)});
    }
    control.add({.control = spec::xhci::type_bits(TrbType::status_stage) | spec::xhci::kTrbInterrupt});
    ring(slot, 1);
    const auto done = event_of(TrbType::transfer_event);
    return done ? code(*done) : Completion{};
  }

  uint8_t slot = 0;
  Ring control{memory_, kControlRing};

  void clear_input(uint32_t add, uint32_t drop = 0) {
    for (uint64_t at = 0; at < 34 * 32; at += 8) (void)memory_.store(kInput + at, uint64_t{0});
    (void)memory_.store(kInput, drop);
    (void)memory_.store(kInput + 4, add);
  }
  void put_input(unsigned context, std::initializer_list<uint32_t> words) {
    uint64_t at = kInput + (context + 1) * 32;
    for (const uint32_t word : words) {
      (void)memory_.store(at, word);
      at += 4;
    }
  }

 private:
  static memory::GuestMemory make_memory() {
    const std::array regions = {
        memory::RegionSpec{.guest_address = 0, .size = kMemorySize},
        memory::RegionSpec{.guest_address = kReadOnly, .size = kReadOnlySize, .read_only = true}};
    return *memory::GuestMemory::create(regions);
  }
  static constexpr uint16_t kEnabled = spec::pci::kCommandMemory | spec::pci::kCommandBusMaster;

  memory::GuestMemory memory_;
  CountingSink messages_;
  Xhci xhci_;
  Ring commands_;
  unsigned event_count_ = kEventCount;
  unsigned next_event_ = 0;
  bool event_cycle_ = true;
};

// Takes what comes on OUT endpoints, and gives it back on IN; waits for the test with endpoint 3.
class EchoDevice : public Device {
 public:
  Speed speed() const override { return Speed::super; }
  void reset() override { ++resets; }
  std::optional<std::vector<std::byte>> control(const spec::usb::SetupPacket& setup,
                                                std::span<const std::byte> data) override {
    last_setup = setup;
    received.assign(data.begin(), data.end());
    if (setup.request == 0xEE) return std::nullopt;
    return std::vector<std::byte>(answer_size, std::byte{0x5A});
  }
  void submit(Transfer& transfer) override {
    ++submitted;
    last_stream = transfer.stream();
    const unsigned number = transfer.endpoint() & 0xF;
    if (number == 3) {
      kept = &transfer;
      return;
    }
    if (number == 4) return transfer.complete(Transfer::Status::stall, 0);
    if (transfer.endpoint() & 0x80) {
      size_t done = 0;
      for (const iovec& buffer : transfer.buffers()) {
        const size_t part = std::min(buffer.iov_len, stored.size() - done);
        if (part != 0) std::memcpy(buffer.iov_base, stored.data() + done, part);
        done += part;
      }
      return transfer.complete(Transfer::Status::success, done);
    }
    stored.clear();
    for (const iovec& buffer : transfer.buffers()) {
      const auto* bytes = static_cast<const std::byte*>(buffer.iov_base);
      stored.insert(stored.end(), bytes, bytes + buffer.iov_len);
    }
    transfer.complete(Transfer::Status::success, transfer.size());
  }
  bool cancel(Transfer& transfer) override {
    if (busy) return false;
    if (kept == &transfer) kept = nullptr;
    return true;
  }

  size_t answer_size = 18;
  std::atomic<bool> busy = false;
  std::atomic<unsigned> resets = 0, submitted = 0, last_stream = 0;
  Transfer* kept = nullptr;
  spec::usb::SetupPacket last_setup;
  std::vector<std::byte> stored, received;
};

}  // namespace alcove::usb::testing
