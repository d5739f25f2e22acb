// The machine's state machine: what its owner asks, and what its guest does.
#include <fmt/format.h>

#include "machine/implementation.h"

namespace alcove::machine {

namespace {

constexpr std::chrono::seconds kCrashLoop{10};

std::unexpected<Error> wrong_state(std::string_view call) {
  return fail(ErrorCode::invalid_virtual_machine_state, "",
              fmt::format("{} is not possible in the machine's present state", call));
}

}  // namespace

void Machine::Implementation::stand() {
  processors_->pause();
  peripherals_->pause();
  clock_.pause();
}

void Machine::Implementation::run() {
  clock_.resume();
  peripherals_->resume();
  // Processors that stand because of what the guest did wait until that has been handled.
  if (guest_event_ == GuestEvent::none) processors_->resume();
}

Result<> Machine::Implementation::start() {
  std::lock_guard lock(mutex_);
  if (state_ != State::ready) return wrong_state("start");
  state_ = State::running;
  clock_.resume();
  processors_->resume();
  return {};
}

Result<> Machine::Implementation::pause() {
  std::lock_guard lock(mutex_);
  if (state_ == State::paused) return {};
  if (state_ != State::running) return wrong_state("pause");
  stand();
  state_ = State::paused;
  return {};
}

Result<> Machine::Implementation::resume() {
  std::lock_guard lock(mutex_);
  if (state_ == State::running) return {};
  if (state_ != State::paused) return wrong_state("resume");
  state_ = State::running;
  processors_->note_pause();
  run();
  return {};
}

Result<> Machine::Implementation::request_stop() {
  std::lock_guard lock(mutex_);
  if (state_ != State::running) return wrong_state("request_stop");
  board_->press_power_button();
  return {};
}

void Machine::Implementation::stop() {
  // Without the lock: a pause may be waiting for them.
  if (peripherals_) peripherals_->abandon_disks();
  Gone gone;
  {
    std::lock_guard lock(mutex_);
    if (state_ == State::ended) return;
    if (processors_ && state_ != State::paused) stand();
    state_ = State::ended;
    // Not before the devices stand: what the guest wrote is with the host.
    processors_.reset();
    if (peripherals_) gone = take_out_leaving();
  }
  tell(std::move(gone));
}

std::vector<cpu::X86State> Machine::Implementation::processor_states() {
  std::lock_guard lock(mutex_);
  std::vector<cpu::X86State> states;
  if (state_ != State::paused) return states;
  for (unsigned index = 0; index < vm_->cpu_count(); ++index) states.push_back(vm_->vcpu(index).state());
  return states;
}

void Machine::Implementation::raise(GuestEvent event) {
  GuestEvent none = GuestEvent::none;
  if (!guest_event_.compare_exchange_strong(none, event)) return;
  processors_->halt();
  control_->loop().post([this] { handle_guest_event(); });
}

void Machine::Implementation::on_processor_exit(unsigned index, cpu::Exit exit) {
  if (exit == cpu::Exit::error) failed_processor_ = index;
  raise(exit == cpu::Exit::error ? GuestEvent::processor_error : GuestEvent::triple_fault);
}

void Machine::Implementation::handle_guest_event() {
  std::unique_lock lock(mutex_);
  if (state_ != State::running && state_ != State::paused) return;
  // A guest that was paused at this moment stands already; a restart leaves it paused.
  const bool running = state_ == State::running;
  processors_->pause();
  std::optional<Error> error;
  const GuestEvent event = guest_event_;
  if (event == GuestEvent::none) return;
  // Whatever it does next, the guest holds nothing any more.
  Gone gone = take_out_leaving();
  switch (event) {
    case GuestEvent::power_off:
      if (running) stand();
      state_ = State::ended;
      lock.unlock();
      tell(std::move(gone));
      return observer_.on_stopped();
    case GuestEvent::processor_error:
      error = vm_->vcpu(failed_processor_).error();
      break;
    case GuestEvent::triple_fault: {
      // A PC restarts. A guest that does nothing but fault would do so for ever, unseen.
      const auto now = std::chrono::steady_clock::now();
      if (last_triple_fault_ && now - *last_triple_fault_ < kCrashLoop) {
        error = Error{ErrorCode::internal, "",
                      "the guest's processor failed again right after a restart (triple fault)",
                      "see the serial port's log; is the kernel made for this processor?"};
      }
      last_triple_fault_ = now;
      break;
    }
    case GuestEvent::none:
    case GuestEvent::reset:
      break;
  }
  if (!error) {
    if (auto restarted = restart_guest(); !restarted) error = restarted.error();
  }
  if (error) {
    if (running) stand();
    state_ = State::ended;
    lock.unlock();
    tell(std::move(gone));
    return observer_.on_error(std::move(*error));
  }
  guest_event_ = GuestEvent::none;
  if (running) run();
  lock.unlock();
  tell(std::move(gone));
  observer_.on_reboot();
}

Result<> Machine::Implementation::restart_guest() {
  board_->reset();  // After it no device writes to memory.
  peripherals_->forget_guest();
  if (firmware_devices_) firmware_devices_->reset();
  for (const memory::Region& region : memory_->regions()) {
    if (!region.read_only) memory_->discard(region.guest_address, region.size);
  }
  return load_guest();
}

}  // namespace alcove::machine
