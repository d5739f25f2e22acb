// KVM executes tiny guests here: what a machine uses of it, one thing at a time.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>

#include "cpu/kvm/kvm_hypervisor.h"
#include "cpu/kvm/long_mode.h"

// The guests, as 64-bit code at kCode.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
guest_ports:            # Reads port 0x10, adds one, writes the sum to port 0x20.
  in   al, 0x10
  inc  al
  out  0x20, al
  hlt
guest_ports_end:

guest_memory:           # Doubles the device register at 512 MiB, writes it behind itself.
  mov  ebx, 0x20000000
  mov  eax, [rbx]
  add  eax, eax
  mov  [rbx + 8], eax
  out  0x20, al
  hlt
guest_memory_end:

guest_interrupt:        # Enables the x2APIC, says so, and waits; the handler writes 0x77 to port 0x20.
  mov  ecx, 0x1b
  rdmsr
  or   eax, 0xc00
  wrmsr
  mov  ecx, 0x80f
  mov  eax, 0x1ff
  xor  edx, edx
  wrmsr
  lidt [rip + idt_pointer]
  mov  al, 1
  out  0x20, al
1:
  sti
  hlt
  cli
  jmp  1b
  .balign 16
idt_pointer:
  .word 0xfff
  .quad 0x4000
guest_interrupt_handler:
  mov  al, 0x77
  out  0x20, al
  mov  ecx, 0x80b
  xor  eax, eax
  xor  edx, edx
  wrmsr
  iretq
guest_interrupt_end:

guest_exception:        # Divides by zero; the handler reports.
  lidt [rip + 1f]
  xor  eax, eax
  xor  edx, edx
  xor  ecx, ecx
  div  ecx
  hlt
1:
  .word 0xfff
  .quad 0x4000
guest_exception_handler:
  mov  al, 0x55
  out  0x20, al
  hlt
guest_exception_end:

guest_stores:           # Writes one word into each of the pages at 0x20000 and 0x23000, then reports.
  mov  ebx, 0x20000
  mov  [rbx], ebx
  mov  [rbx + 0x3000], ebx
  mov  al, 1
  out  0x20, al
  hlt
guest_stores_end:

guest_doorbell:
  mov  ebx, 0x20000000
  mov  eax, 5
  mov  [rbx + 0x100], eax
  out  0x20, al
  hlt
guest_doorbell_end:

guest_spin:
  jmp guest_spin
guest_spin_end:

guest_triple_fault:
  lidt [rip + 1f]
  ud2
1:
  .word 0
  .quad 0
guest_triple_fault_end:
  .att_syntax
  .popsection
)");

#define GUEST(name) extern "C" const uint8_t guest_##name[], guest_##name##_end[]
GUEST(ports);
GUEST(memory);
GUEST(interrupt);
GUEST(exception);
GUEST(stores);
GUEST(doorbell);
GUEST(spin);
GUEST(triple_fault);
extern "C" const uint8_t guest_interrupt_handler[], guest_exception_handler[];
#define CODE(name) std::span(guest_##name, guest_##name##_end)

namespace alcove::cpu::kvm {
namespace {

constexpr uint64_t kCode = 0x8000, kIdt = 0x4000, kDevice = 0x20000000;

class Kvm : public testing::Test, public IoHandler {
 protected:
  void SetUp() override {
    UniqueFd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm) GTEST_SKIP() << "/dev/kvm cannot be opened: " << strerror(errno);
    auto hypervisor = create_hypervisor(std::move(kvm));
    ASSERT_TRUE(hypervisor) << hypervisor.error().message();
    hypervisor_ = std::move(*hypervisor);
  }

  void load(std::span<const uint8_t> code) {
    const memory::RegionSpec region{.guest_address = 0, .size = 1 << 20};
    memory_.emplace(memory::GuestMemory::create({&region, 1}).value());
    ASSERT_TRUE(memory_->write(kCode, std::as_bytes(code)));
    ASSERT_TRUE(write_identity_tables(*memory_));
    // Null, unused; code; data.
    const std::array<uint64_t, 3> gdt = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    ASSERT_TRUE(memory_->write(0x5000, std::as_bytes(std::span(gdt))));
    auto vm = hypervisor_->create_vm({.cpu_count = 1, .memory = &*memory_, .io = this});
    ASSERT_TRUE(vm) << vm.error().message();
    vm_ = std::move(*vm);
    X86State state = long_mode_state(vcpu().state(), kCode, 0x10000);
    state.gdtr = {0x5000, 23};
    ASSERT_TRUE(vcpu().set_state(state));
  }

  // An interrupt gate to `handler`, which is `offset` bytes into the code.
  void set_gate(unsigned vector, ptrdiff_t offset) {
    const uint64_t handler = kCode + static_cast<uint64_t>(offset);
    const std::array<uint64_t, 2> gate = {
        (handler & 0xffff) | 8 << 16 | uint64_t{0x8e00} << 32 | (handler >> 16) << 48, 0};
    ASSERT_TRUE(memory_->write(kIdt + 16 * vector, std::as_bytes(std::span(gate))));
  }

  Vcpu& vcpu() { return vm_->vcpu(0); }

  void port_read(uint16_t port, std::span<std::byte> data) override {
    data[0] = std::byte(port == 0x10 ? 41 : 0xff);
  }
  void port_write(uint16_t, std::span<const std::byte> data) override {
    written_.push_back(static_cast<uint8_t>(data[0]));
    if (on_port_write) on_port_write();
    if (written_.size() >= stop_after_) vcpu().kick();
  }
  void memory_read(uint64_t address, std::span<std::byte> data) override {
    EXPECT_EQ(address, kDevice);
    const uint32_t value = 0x1001;
    ASSERT_EQ(data.size(), sizeof value);
    std::memcpy(data.data(), &value, sizeof value);
  }
  void memory_write(uint64_t address, std::span<const std::byte> data) override {
    device_address_ = address;
    std::memcpy(&device_value_, data.data(), std::min(data.size(), sizeof device_value_));
  }
  void end_of_interrupt(uint8_t vector) override { ended_.push_back(vector); }

  std::unique_ptr<Hypervisor> hypervisor_;
  std::optional<memory::GuestMemory> memory_;
  std::unique_ptr<Vm> vm_;
  std::vector<uint8_t> written_;
  size_t stop_after_ = 1;
  std::move_only_function<void()> on_port_write;
  uint64_t device_address_ = 0;
  uint32_t device_value_ = 0;
  std::vector<uint8_t> ended_;
};

TEST_F(Kvm, CarriesPortAccesses) {
  load(CODE(ports));
  EXPECT_EQ(vcpu().run(), Exit::kicked);
  EXPECT_EQ(written_, std::vector<uint8_t>{42});
}

TEST_F(Kvm, CarriesDeviceMemoryAccesses) {
  load(CODE(memory));
  EXPECT_EQ(vcpu().run(), Exit::kicked);
  EXPECT_EQ(device_address_, kDevice + 8);
  EXPECT_EQ(device_value_, 0x2002u);
}

TEST_F(Kvm, WakesAHaltedProcessorByMessage) {
  load(CODE(interrupt));
  set_gate(0x30, guest_interrupt_handler - guest_interrupt);
  std::jthread sender;
  on_port_write = [&] {
    if (written_.size() == 1) {
      sender = std::jthread([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        vm_->send({0xfee00000, 0x30});
      });
    }
  };
  stop_after_ = 2;
  EXPECT_EQ(vcpu().run(), Exit::kicked) << vcpu().error().message();
  EXPECT_EQ(written_, (std::vector<uint8_t>{1, 0x77}));
}

TEST_F(Kvm, WakesAHaltedProcessorByEventfd) {
  load(CODE(interrupt));
  set_gate(0x30, guest_interrupt_handler - guest_interrupt);
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(vm_->bind_interrupt(event.get(), {0xfee00000, 0x30}));
  on_port_write = [&] {
    if (written_.size() == 1) eventfd_write(event.get(), 1);
  };
  stop_after_ = 2;
  EXPECT_EQ(vcpu().run(), Exit::kicked) << vcpu().error().message();
  EXPECT_EQ(written_, (std::vector<uint8_t>{1, 0x77}));
  vm_->unbind_interrupt(event.get());
}

TEST_F(Kvm, ReportsTheEndOfLevelTriggeredInterrupts) {
  load(CODE(interrupt));
  set_gate(0x31, guest_interrupt_handler - guest_interrupt);
  std::array<uint64_t, 4> vectors{};
  vectors[0] = uint64_t{1} << 0x31;
  vm_->set_level_triggered_vectors(vectors);
  on_port_write = [&] {
    if (written_.size() == 1) vm_->send({0xfee00000, 0x8031});
  };
  stop_after_ =
      3;  // The line is still up for the machine's I/O APIC: it would send again, and so does this test.
  std::jthread again([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      vm_->send({0xfee00000, 0x8031});
    }
  });
  EXPECT_EQ(vcpu().run(), Exit::kicked) << vcpu().error().message();
  ASSERT_FALSE(ended_.empty());
  EXPECT_EQ(ended_.front(), 0x31);
}

TEST_F(Kvm, DeliversExceptions) {
  load(CODE(exception));
  set_gate(0, guest_exception_handler - guest_exception);
  EXPECT_EQ(vcpu().run(), Exit::kicked) << vcpu().error().message();
  EXPECT_EQ(written_, std::vector<uint8_t>{0x55});
}

TEST_F(Kvm, LogsDirtyPages) {
  load(CODE(stores));
  std::array<uint64_t, 4> bitmap{};
  ASSERT_TRUE(vm_->fetch_dirty_log(0, bitmap));
  EXPECT_EQ(vcpu().run(), Exit::kicked);
  ASSERT_TRUE(vm_->fetch_dirty_log(0, bitmap));
  EXPECT_EQ(bitmap[0] & ~uint64_t{0x1ff},
            uint64_t{1} << 0x20 | uint64_t{1} << 0x23);  // Below: stack and tables.
  ASSERT_TRUE(vm_->fetch_dirty_log(0, bitmap));
  EXPECT_EQ(bitmap[0] >> 0x20, 0u);
}

TEST_F(Kvm, RingsDoorbellsWithoutAnExit) {
  load(CODE(doorbell));
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(vm_->bind_doorbell(kDevice + 0x100, 4, event.get()));
  EXPECT_EQ(vcpu().run(), Exit::kicked);
  EXPECT_EQ(device_address_, 0u);
  eventfd_t count = 0;
  EXPECT_EQ(eventfd_read(event.get(), &count), 0);
  EXPECT_EQ(count, 1u);
  vm_->unbind_doorbell(kDevice + 0x100, 4, event.get());
}

TEST_F(Kvm, IsKickedOutOfABusyLoopAndGoesOn) {
  load(CODE(spin));
  for (int i = 0; i < 20; ++i) {
    std::jthread kicker([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      vcpu().kick();
    });
    EXPECT_EQ(vcpu().run(), Exit::kicked);
    EXPECT_EQ(vcpu().state().rip, kCode);
  }
}

TEST_F(Kvm, ReportsATripleFaultAndRunsAgainAfterReset) {
  load(CODE(triple_fault));
  const X86State before = vcpu().state();
  EXPECT_EQ(vcpu().run(), Exit::shutdown) << vcpu().error().message();
  vcpu().reset();
  EXPECT_EQ(vcpu().state().rip, 0xfff0u);
  EXPECT_EQ(vcpu().state().segments[cs].base, 0xffff0000u);
  ASSERT_TRUE(memory_->write(kCode, std::as_bytes(CODE(ports))));
  ASSERT_TRUE(vcpu().set_state(before));
  EXPECT_EQ(vcpu().run(), Exit::kicked);
  EXPECT_EQ(written_, std::vector<uint8_t>{42});
}

TEST_F(Kvm, IsAssessed) {
  UniqueFd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  const Assessment assessment = assess(kvm.get());
  EXPECT_TRUE(assessment.usable) << assessment.finding;
  EXPECT_FALSE(assessment.finding.empty());
  EXPECT_EQ(assessment.cure.empty(), assessment.hardware_assisted);
  RecordProperty("finding", assessment.finding);
}

}  // namespace
}  // namespace alcove::cpu::kvm
