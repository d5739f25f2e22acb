#include "usb/xhci.h"

#include <utility>

#include "spec/pci.h"

namespace alcove::usb {

using namespace spec::xhci;

namespace {

// TRBs that are served in a row.
constexpr unsigned kBudget = 256;

}  // namespace

Xhci::Xhci(const XhciOptions& options)
    : Function({.vendor = kPciVendor, .device = kPciDevice, .class_code = kClassXhci, .revision = 1}),
      memory_(*options.memory),
      msix_(kInterrupters, *options.messages),
      interrupters_(kInterrupters, Interrupter(memory_)),
      strand_(options.thread_name) {
  for (unsigned port = 0; port < kPortCount; ++port) {
    ports_.emplace_back(port < kSuperPorts ? Speed::super : Speed::high);
  }
  add_memory_bar(0, kBarSize, true);
  use_interrupt_pin(1);
  set8(0x60, 0x30);  // Serial bus release number, section 5.2.3.
  msix_capability_ = add_capability(spec::pci::kCapabilityMsix, msix_.capability(0, kTable, kPending),
                                    pci::Msix::capability_writable());
}

Xhci::~Xhci() {
  for (const auto& device : devices()) device->pause();
  // The end of what they had under way is in the strand's queue: who waits for it hears of it.
  strand_.call([this] {
    in_turn([this] {
      retire_finished();
      finish_detaches();
    });
  });
}

std::vector<std::shared_ptr<Device>> Xhci::devices() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Device>> all;
  for (const Port& port : ports_) {
    if (port.device()) all.push_back(port.device());
  }
  for (const Detach& detach : detaches_) all.push_back(detach.device);
  return all;
}

template <class Task>
void Xhci::in_turn(Task task) {
  {
    const std::lock_guard lock(mutex_);
    working_ = true;
    task();
    working_ = false;
    deliver_interrupts();
    if (!finished_.empty()) wake();
  }
  post_work();
}

void Xhci::after_configuration_write(uint16_t offset, size_t size) {
  const uint16_t control = msix_capability_ + spec::pci::kMsixControl;
  if (offset < control + 2 && control < offset + size) {
    msix_.set_control(static_cast<uint16_t>(get(control, 2)));
  }
}

std::optional<unsigned> Xhci::plug_in(const std::shared_ptr<Device>& device) {
  for (unsigned index = 0; index < kPortCount; ++index) {
    Port& port = ports_[index];
    if (port.device() || port.speed() != device->speed()) continue;
    device->reset();
    if (port.attach(device)) port_changed(index);
    return index + 1;
  }
  return std::nullopt;
}

Result<unsigned> Xhci::attach(std::shared_ptr<Device> device) {
  std::optional<unsigned> found;
  strand_.call([&] { in_turn([&] { found = plug_in(device); }); });
  if (!found) {
    return alcove::fail(ErrorCode::internal, "", "no port of the controller is free",
                        "detach another device");
  }
  return *found;
}

void Xhci::detach(unsigned port, std::move_only_function<void(std::shared_ptr<Device>)> done) {
  strand_.post([this, port, done = std::move(done)]() mutable {
    bool found = false;
    in_turn([&] {
      found = port >= 1 && port <= kPortCount && ports_[port - 1].device();
      if (!found) return;
      detaches_.push_back({.device = ports_[port - 1].device(), .done = std::move(done)});
      if (ports_[port - 1].detach()) port_changed(port - 1);
      finish_detaches();
    });
    if (!found) strand_.post_to_thread([done = std::move(done)]() mutable { done(nullptr); });
  });
}

// Slots forget devices that are gone; transfers of theirs that have not begun fail.
void Xhci::finish_detaches() {
  for (size_t index = 0; index < detaches_.size();) {
    bool idle = true;
    for (unsigned number = 1; number <= kSlots; ++number) {
      Slot& slot = slots_[number];
      if (slot.device != detaches_[index].device) continue;
      for (unsigned context = 1; context <= kMaximumContext; ++context) {
        if (!slot.endpoints[context]) continue;
        slot.endpoints[context]->for_each_ring([&](uint16_t, TransferRing& ring) {
          if (!take_back(slot, *slot.endpoints[context], ring)) {
            idle = false;
          } else if (ring.active) {
            ring.active->status = Transfer::Status::gone;
            retire(*slot.endpoints[context], ring);
          }
        });
      }
      if (idle) slot.device = nullptr;
    }
    if (!idle) {
      ++index;
      continue;
    }
    // Not on the thread of a disk, of which the device may be the owner.
    Detach finished = std::move(detaches_[index]);
    detaches_.erase(detaches_.begin() + static_cast<ptrdiff_t>(index));
    strand_.post_to_thread(
        [finished = std::move(finished)]() mutable { finished.done(std::move(finished.device)); });
  }
}

void Xhci::reset() {
  // What devices have under way ends, and its end is in the strand's queue before what is posted here.
  const auto all = devices();
  for (const auto& device : all) device->pause();
  strand_.call([this] {
    in_turn([this] {
      quiesce_all();
      clear();
      paused_ = false;
    });
  });
  for (const auto& device : all) device->resume();
  msix_.reset();
  Function::reset();
}

void Xhci::pause() {
  for (const auto& device : devices()) device->pause();
  strand_.call([this] {
    const std::lock_guard lock(mutex_);
    paused_ = true;
  });
}

void Xhci::resume() {
  for (const auto& device : devices()) device->resume();
  {
    const std::lock_guard lock(mutex_);
    paused_ = false;
    wake();
  }
  post_work();
}

// All as after power-on. No transfer is under way.
void Xhci::clear() {
  command_ = 0;
  status_ = kStatusHalted;
  notification_ = 0;
  configure_ = 0;
  context_array_ = 0;
  command_ring_ = {};
  command_ring_running_ = false;
  reset_requested_ = false;
  doorbells_.clear();
  unserved_.clear();
  for (Interrupter& interrupter : interrupters_) interrupter.reset();
  for (Slot& slot : slots_) slot = {};
  for (Port& port : ports_) {
    if (port.device()) port.device()->reset();
    port.reset();
  }
  set_interrupt(false);
}

void Xhci::wake() {
  if (!std::exchange(woken_, true)) must_post_ = true;
}

void Xhci::post_work() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(must_post_, false)) return;
  }
  strand_.post([this] {
    in_turn([this] {
      woken_ = false;
      work();
    });
  });
}

void Xhci::work() {
  if (paused_) return;
  budget_ = kBudget;
  retire_finished();
  for (Interrupter& interrupter : interrupters_) {
    if (!interrupter.flush()) fail();
  }
  if (reset_requested_ && !finish_reset()) return;
  for (unsigned index = 0; index < kPortCount; ++index) {
    if (resetting_ports_[index] && ports_[index].finish_reset()) port_changed(index);
  }
  resetting_ports_.reset();
  if (!(command_ & kCommandRun)) finish_stop();
  serve_commands();
  serve_doorbells();
  finish_detaches();
  if (budget_ == 0) wake();
}

// Section 4.2: software waits for the bit to become 0.
bool Xhci::finish_reset() {
  if (!quiesce_all()) return false;
  clear();
  return true;
}

void Xhci::finish_stop() {
  if ((status_ & kStatusHalted) || !quiesce_all()) return;
  status_ |= kStatusHalted;
  command_ring_running_ = false;
}

bool Xhci::has_room() const {
  for (const Interrupter& interrupter : interrupters_) {
    if (!interrupter.has_room()) return false;
  }
  return true;
}

void Xhci::send(const Trb& event, unsigned interrupter, bool blocks_interrupt) {
  if (interrupter >= kInterrupters) interrupter = 0;
  if (!interrupters_[interrupter].push(event, blocks_interrupt)) fail();
}

void Xhci::port_changed(unsigned index) {
  status_ |= kStatusPortChange;
  if (status_ & kStatusHalted) return;
  send({.parameter = uint64_t{index + 1} << 24,
        .status = static_cast<uint32_t>(Completion::success) << 24,
        .control = type_bits(TrbType::port_status_change)},
       0);
}

void Xhci::deliver_interrupts() {
  for (unsigned index = 0; index < kInterrupters; ++index) {
    Interrupter& interrupter = interrupters_[index];
    if (interrupter.take_raised()) status_ |= kStatusEvent;
    if (!(command_ & kCommandInterrupts) || !interrupter.is_enabled() || !interrupter.take_interrupt())
      continue;
    if (msix_.notify(index)) interrupter.clear_pending();
  }
  set_interrupt((command_ & kCommandInterrupts) && interrupters_[0].is_enabled() &&
                interrupters_[0].is_pending());
}

// The guest's structures are not where they must be (section 4.24.1): nothing works until it resets.
void Xhci::fail() {
  status_ |= kStatusControllerError | kStatusHalted;
  command_ &= ~kCommandRun;
  command_ring_running_ = false;
  doorbells_.clear();
  unserved_.clear();
}

}  // namespace alcove::usb
