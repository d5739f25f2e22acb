#include "cpu/soft/testing/bare_machine.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "cpu/soft/soft_hypervisor.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kRom = 0xffff'f000;

memory::GuestMemory make_memory() {
  const std::array<memory::RegionSpec, 2> regions{
      {{.guest_address = 0, .size = 1 << 20}, {.guest_address = kRom, .size = 4096, .read_only = true}}};
  auto memory = memory::GuestMemory::create(regions);
  if (!memory) std::abort();
  return std::move(*memory);
}

}  // namespace

BareMachine::BareMachine(unsigned cpu_count) : memory_(make_memory()), hypervisor_(create_hypervisor()) {
  constexpr std::array<uint8_t, 5> kJump{0xea, 0x00, 0x7c, 0x00, 0x00};  // jmp 0:7c00
  if (!memory_.write(kRom + 0xff0, std::as_bytes(std::span(kJump)), true)) std::abort();
  auto vm = hypervisor_->create_vm({.cpu_count = cpu_count, .memory = &memory_, .io = this});
  if (!vm) std::abort();
  vm_ = std::move(*vm);
  exits_.resize(cpu_count, Exit::kicked);
}

BareMachine::~BareMachine() {
  stop();
}

void BareMachine::write(uint64_t address, std::span<const uint8_t> bytes) {
  if (!memory_.write(address, std::as_bytes(bytes))) std::abort();
}

uint32_t BareMachine::read32(uint64_t address) const {
  std::array<std::byte, 4> bytes;
  uint32_t value;
  if (!memory_.read(address, bytes)) std::abort();
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

void BareMachine::start() {
  for (unsigned i = 0; i < vm_->cpu_count(); ++i) {
    threads_.emplace_back([this, i] {
      exits_[i] = vm_->vcpu(i).run();
      if (exits_[i] == Exit::kicked) return;
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
    });
  }
}

bool BareMachine::wait_for(char end) {
  std::unique_lock lock(mutex_);
  const auto ended = [&] { return !output_.empty() && output_.back() == end; };
  changed_.wait_for(lock, std::chrono::seconds(10), [&] { return stopped_ || ended(); });
  return ended();
}

std::vector<Exit> BareMachine::stop() {
  for (unsigned i = 0; i < threads_.size(); ++i) vm_->vcpu(i).kick();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return exits_;
}

std::string BareMachine::output() const {
  const std::lock_guard lock(mutex_);
  return output_;
}

void BareMachine::port_read(uint16_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
}

void BareMachine::port_write(uint16_t port, std::span<const std::byte> data) {
  if (port != kPort) return;
  const std::lock_guard lock(mutex_);
  output_ += static_cast<char>(data[0]);
  changed_.notify_all();
}

void BareMachine::memory_read(uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
}

void BareMachine::memory_write(uint64_t, std::span<const std::byte>) {}

void BareMachine::end_of_interrupt(uint8_t) {}

}  // namespace alcove::cpu::soft::testing
