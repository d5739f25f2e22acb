#include "cpu/soft/soft_hypervisor.h"

#include <fmt/format.h>

#include <vector>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/engine.h"
#include "cpu/soft/registers.h"
#include "cpu/soft/translator/debugging.h"
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/system/kvm_clock.h"

namespace alcove::cpu::soft {
namespace {

constexpr unsigned kMaximumCpuCount = 64;

class SoftVcpu final : public Vcpu {
 public:
  SoftVcpu(Shared& shared, ApicBus& bus, unsigned index)
      : bus_(bus), engine_(shared, index), apic_(bus, engine_.cpu()) {
    engine_.cpu().apic = &apic_;
    if (DebugSettings::get().translate) engine_.enable_translator();
    reset();
  }

  Exit run() override { return engine_.run(); }

  void kick() override {
    engine_.cpu().attention.fetch_or(kKickAttention, std::memory_order_release);
    engine_.wake();
  }

  X86State state() const override { return read_registers(engine_.cpu()); }

  Result<> set_state(const X86State& state) override { return write_registers(engine_.cpu(), state); }

  void reset() override {
    Cpu& cpu = engine_.cpu();
    constexpr uint32_t kApicAttention = ~uint32_t{kEngineAttention};
    cpu.attention.fetch_and(~kApicAttention, std::memory_order_acq_rel);
    apic_.reset(true);
    cpu.tsc_offset = bus_.clock().initial_tsc_offset();
    reset_registers(cpu, true);
  }

  void note_pause() override { mark_guest_stopped(engine_.cpu()); }

  Error error() const override { return engine_.error; }

  Engine& engine() { return engine_; }

 private:
  ApicBus& bus_;
  mutable Engine engine_;
  Apic apic_;
};

class SoftVm final : public Vm {
 public:
  explicit SoftVm(const VmOptions& options)
      : memory_(*options.memory),
        shared_(memory_, *options.io),
        bus_(*options.io, [](Cpu& cpu) { cpu.engine->wake(); }) {
    shared_.cpuid_filter = CpuidFilter(options.cpu_model, true);
    for (unsigned i = 0; i < options.cpu_count; ++i)
      vcpus_.push_back(std::make_unique<SoftVcpu>(shared_, bus_, i));
    shared_.memory.set_code_listener([this](const PageState& page) {
      for (Engine* engine : shared_.engines)
        if (Translator* const translator = engine->translator()) translator->code_changed(page);
    });
    memory_.set_write_observer(&shared_.memory);
  }
  ~SoftVm() override { memory_.set_write_observer(nullptr); }

  Result<> check(const config::CpuModel& model) {
    return check_cpu_model(model, [this](uint32_t leaf, uint32_t subleaf) {
      const CpuidResult result = cpuid(vcpus_[0]->engine().cpu(), leaf, subleaf);
      return CpuidWords{result.eax, result.ebx, result.ecx, result.edx};
    });
  }

  unsigned cpu_count() const override { return static_cast<unsigned>(vcpus_.size()); }
  Vcpu& vcpu(unsigned index) override { return *vcpus_.at(index); }
  uint64_t tsc_khz() const override { return bus_.clock().frequency_khz(); }

  void send(const bus::Message& message) override { bus_.send(message); }
  void set_level_triggered_vectors(std::span<const uint64_t, 4> vectors) override {
    bus_.set_level_triggered_vectors(vectors);
  }

  Result<> bind_doorbell(uint64_t, unsigned, int) override { return unsupported("doorbell"); }
  void unbind_doorbell(uint64_t, unsigned, int) override {}
  Result<> bind_interrupt(int, const bus::Message&) override { return unsupported("interrupt"); }
  void unbind_interrupt(int) override {}

  Result<> fetch_dirty_log(uint64_t guest_address, std::span<uint64_t> bitmap) override {
    shared_.memory.start_logging();
    if (!shared_.memory.take_log(guest_address, bitmap)) {
      return fail(
          ErrorCode::internal, "dirty_log",
          fmt::format("no memory region of {} pages begins at {:#x}", bitmap.size() * 64, guest_address));
    }
    // What passes a write tag until all are gone is not in the log, but in memory before this call returns.
    shared_.world.exclusively(nullptr, [this] {
      for (Engine* engine : shared_.engines) engine->mmu().drop_all_write_tags();
    });
    return {};
  }

 private:
  static std::unexpected<Error> unsupported(const char* what) {
    return fail(ErrorCode::not_supported, what,
                "the software engine calls devices on its processors' threads");
  }

  memory::GuestMemory& memory_;
  Shared shared_;
  // The bus's timer thread ends before the processors that it wakes.
  std::vector<std::unique_ptr<SoftVcpu>> vcpus_;
  ApicBus bus_;
};

class SoftHypervisor final : public Hypervisor {
 public:
  std::string_view name() const override { return "soft"; }
  unsigned maximum_cpu_count() const override { return kMaximumCpuCount; }
  unsigned physical_address_bits() const override { return kPhysicalAddressBits; }

  Result<std::unique_ptr<Vm>> create_vm(const VmOptions& options) override {
    if (options.cpu_count == 0 || options.cpu_count > kMaximumCpuCount) {
      return fail(ErrorCode::virtual_machine_limit_exceeded, "cpu_count",
                  fmt::format("{} processors were asked for, the software engine has 1 to {}",
                              options.cpu_count, kMaximumCpuCount),
                  "choose a number in that range");
    }
    if (!options.memory || !options.io)
      return fail(ErrorCode::internal, "VmOptions", "memory and io must be given");
    auto vm = std::make_unique<SoftVm>(options);
    if (auto fits = vm->check(options.cpu_model); !fits) return std::unexpected(fits.error());
    return vm;
  }
};

}  // namespace

std::unique_ptr<Hypervisor> create_hypervisor() {
  return std::make_unique<SoftHypervisor>();
}

}  // namespace alcove::cpu::soft
