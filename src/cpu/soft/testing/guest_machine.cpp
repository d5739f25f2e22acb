#include "cpu/soft/testing/guest_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "cpu/soft/soft_hypervisor.h"

namespace alcove::cpu::soft::testing {
namespace {

memory::GuestMemory make_memory() {
  const memory::RegionSpec region{.guest_address = 0, .size = GuestMachine::kSize};
  auto memory = memory::GuestMemory::create({&region, 1});
  if (!memory) std::abort();
  return std::move(*memory);
}

constexpr uint64_t kDescriptors[] = {
    0,
    0x00af9b000000ffff,  // kCode64
    0x00cf93000000ffff,  // kData
    0x00cf9b000000ffff,  // kCode32
    0x00cffb000000ffff,  // kUserCode32
    0x00cff3000000ffff,  // kUserData
    0x00affb000000ffff,  // kUserCode64
    0x0000890030002067,  // kTss64Selector: base 0x3000, room for an I/O bitmap
    0,
    0x00009b000000ffff,  // kCode16
    0x000093000000ffff,  // kData16
    0,
    0,
    0x0000890070000067,  // kTssA
    0x0000890071000067,  // kTssB
};

SegmentRegister segment(uint16_t selector, uint16_t access, uint32_t limit = 0xffffffff, uint64_t base = 0) {
  return {.selector = selector, .access = access, .limit = limit, .base = base};
}

}  // namespace

GuestMachine::GuestMachine(unsigned cpu_count) : memory_(make_memory()), hypervisor_(create_hypervisor()) {
  auto vm = hypervisor_->create_vm({.cpu_count = cpu_count, .memory = &memory_, .io = this});
  if (!vm) std::abort();
  vm_ = std::move(*vm);
  write_tables();
}

GuestMachine::~GuestMachine() = default;

void GuestMachine::write(uint64_t address, std::span<const uint8_t> bytes) {
  if (!memory_.write(address, std::as_bytes(bytes))) std::abort();
}

void GuestMachine::write_tables() {
  for (size_t i = 0; i < std::size(kDescriptors); ++i) store(kGdt + 8 * i, kDescriptors[i]);
  store<uint64_t>(kTss + 4, kStack);
  store<uint64_t>(kTss + 0x24, kIstStack);
  store<uint16_t>(kTss + 0x66, 0x68);
  for (uint64_t i = 0; i < 0x2000; i += 8) store<uint64_t>(kTss + 0x68 + i, ~uint64_t{0});
  store<uint64_t>(kPageTables, (kPageTables + 0x1000) | 7);
  store<uint64_t>(kPageTables + 0x1000, 0x87);        // One page of 1 GiB.
  store<uint64_t>(kPageTables + 0x1018, 0xc0000097);  // The local APICs, uncached.
}

void GuestMachine::set_descriptor(uint16_t selector, uint64_t low, uint64_t high) {
  store(kGdt + (selector & ~7u), low);
  if (high) store(kGdt + (selector & ~7u) + 8, high);
}

void GuestMachine::set_gate64(unsigned vector, uint64_t handler, uint16_t selector, uint8_t access,
                              unsigned ist) {
  store(kIdt + 16 * vector, (handler & 0xffff) | uint64_t{selector} << 16 | uint64_t{ist} << 32 |
                                uint64_t{access} << 40 | (handler >> 16 & 0xffff) << 48);
  store(kIdt + 16 * vector + 8, handler >> 32);
}

void GuestMachine::set_gate32(unsigned vector, uint32_t handler, uint16_t selector, uint8_t access) {
  store(kIdt + 8 * vector, (handler & 0xffff) | uint64_t{selector} << 16 | uint64_t{access} << 40 |
                               uint64_t{handler >> 16} << 48);
}

X86State GuestMachine::flat_state(std::span<const uint8_t> code) {
  write(kCode, code);
  X86State state = vm_->vcpu(0).state();
  state.rip = kCode;
  state.gpr[rsp] = kStack;
  state.rflags = 2;
  for (SegmentRegister& data : state.segments) data = segment(kData, 0xc093);
  state.gdtr = {.base = kGdt, .limit = 0x7f};
  state.idtr = {.base = kIdt, .limit = 0xfff};
  return state;
}

void GuestMachine::start_long(std::span<const uint8_t> code, std::initializer_list<Handler> handlers) {
  for (const Handler& to : handlers) set_gate64(to.vector, kCode + to.offset, kCode64, to.access, to.ist);
  X86State state = flat_state(code);
  state.segments[cs] = segment(kCode64, 0xa09b);
  state.cr0 = 0x80010033;  // PG, WP, NE, ET, MP, PE
  state.cr3 = kPageTables;
  state.cr4 = 0x6a0;  // OSXMMEXCPT, OSFXSR, PGE, PAE
  state.efer = 0xd01;
  state.tr = segment(kTss64Selector, 0x8b, 0x2067, kTss);
  if (!vm_->vcpu(0).set_state(state)) std::abort();
}

void GuestMachine::start_protected(std::span<const uint8_t> code, std::initializer_list<Handler> handlers) {
  for (const Handler& to : handlers) set_gate32(to.vector, kCode + to.offset, kCode32, to.access);
  X86State state = flat_state(code);
  state.segments[cs] = segment(kCode32, 0xc09b);
  state.cr0 = 0x33;
  state.tr = segment(kTssA, 0x8b, 0x67, kTss32);
  store<uint64_t>(kGdt + kTssA, kDescriptors[kTssA / 8] | uint64_t{2} << 40);
  store<uint32_t>(kTss32 + 4, kStack);
  store<uint32_t>(kTss32 + 8, kData);
  if (!vm_->vcpu(0).set_state(state)) std::abort();
}

void GuestMachine::start_real(std::span<const uint8_t> code) {
  X86State state = flat_state(code);
  for (SegmentRegister& data : state.segments) data = segment(0, 0x93, 0xffff);
  state.segments[cs] = segment(kCode >> 4, 0x9b, 0xffff, kCode);
  state.rip = 0;
  state.gpr[rsp] = 0x8000;
  state.idtr = {.base = 0, .limit = 0x3ff};
  state.cr0 = 0x10;
  if (!vm_->vcpu(0).set_state(state)) std::abort();
}

Exit GuestMachine::run() {
  done_ = timed_out_ = false;
  std::thread watchdog([this] {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(10), [this] { return done_; })) {
      timed_out_ = true;
      lock.unlock();
      stop();
    }
  });
  std::vector<std::thread> others;
  for (unsigned i = 1; i < vm_->cpu_count(); ++i) {
    others.emplace_back([this, i] {
      if (vm_->vcpu(i).run() != Exit::kicked) stop();
    });
  }
  const Exit exit = vm_->vcpu(0).run();
  stop();
  watchdog.join();
  for (std::thread& other : others) other.join();
  return exit;
}

std::vector<uint32_t> GuestMachine::run_to_end() {
  EXPECT_EQ(run(), Exit::kicked);
  EXPECT_FALSE(timed_out_);
  return output();
}

void GuestMachine::stop() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  for (unsigned i = 0; i < vm_->cpu_count(); ++i) vm_->vcpu(i).kick();
}

std::vector<uint32_t> GuestMachine::output() {
  const std::lock_guard lock(mutex_);
  return output_;
}

std::vector<uint8_t> GuestMachine::ended_interrupts() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void GuestMachine::port_read(uint16_t port, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{static_cast<uint8_t>(port)});
}

void GuestMachine::port_write(uint16_t port, std::span<const std::byte> data) {
  if (port == 0xe9) {
    uint32_t value = 0;
    std::memcpy(&value, data.data(), data.size());
    const std::lock_guard lock(mutex_);
    output_.push_back(value);
  } else if (port == 0xf4) {
    stop();
  }
}

void GuestMachine::memory_read(uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
}

void GuestMachine::memory_write(uint64_t, std::span<const std::byte>) {}

void GuestMachine::end_of_interrupt(uint8_t vector) {
  const std::lock_guard lock(mutex_);
  ended_.push_back(vector);
}

}  // namespace alcove::cpu::soft::testing
