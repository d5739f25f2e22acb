// Runs a bare program by the Multiboot Specification on the PC that machines have, with its first serial port
// on standard output, and with the test devices that bare programs such as kvm-unit-tests use to end and to
// raise interrupts:
//   run_multiboot [--cpus N] [--memory SIZE] [--hypervisor auto|kvm|soft] [--timeout SECONDS]
//                 PROGRAM [MODULE|-] [COMMAND_LINE]
// Exit status: what the program writes to port 0xf4, doubled, plus one; 124 when its time is up; 2 when it
// can't be run or a processor can't go on.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>

#include "boot/file_bytes.h"
#include "exec/event_loop.h"
#include "machine/board.h"
#include "machine/choose_hypervisor.h"
#include "machine/machine.h"
#include "machine/processors.h"
#include "multiboot.h"

using namespace alcove;

namespace {

[[noreturn]] void die(const std::string& message) {
  fmt::print(stderr, "run_multiboot: {}\n", message);
  _exit(2);
}

template <class T>
T value_or_die(Result<T> result) {
  if (!result) die(result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// How the run ends; the first counts.
class Ending {
 public:
  void end(int status, const std::string& message = {}) {
    std::lock_guard lock(mutex_);
    if (status_) return;
    status_ = status;
    message_ = message;
    changed_.notify_all();
  }
  int wait(std::chrono::duration<double> time) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, time, [this] { return status_.has_value(); })) return 124;
    if (!message_.empty()) fmt::print(stderr, "run_multiboot: {}\n", message_);
    return *status_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<int> status_;
  std::string message_;
};

uint64_t value_of(std::span<const std::byte> data) {
  uint64_t value = 0;
  std::memcpy(&value, data.data(), std::min(data.size(), sizeof value));
  return value;
}

// A write ends the run.
struct ExitPort final : bus::Device {
  explicit ExitPort(Ending& to_end) : ending(to_end) {}
  bus::Access read(uint64_t, std::span<std::byte>) override { return bus::Access::no_register; }
  bus::Access write(uint64_t, std::span<const std::byte> data) override {
    ending.end(static_cast<int>(value_of(data) << 1 | 1) & 0xff);
    return bus::Access::done;
  }
  Ending& ending;
};

// Bytes that keep what is written, reached like a device's.
template <size_t kSize>
struct Latch final : bus::Device {
  bus::Access read(uint64_t offset, std::span<std::byte> data) override {
    std::lock_guard lock(mutex);
    std::memcpy(data.data(), bytes.data() + offset, data.size());
    return bus::Access::done;
  }
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override {
    std::lock_guard lock(mutex);
    std::memcpy(bytes.data() + offset, data.data(), data.size());
    return bus::Access::done;
  }
  std::mutex mutex;
  std::array<std::byte, kSize> bytes{};
};

// One port for each pin of the I/O APIC: its line.
struct LinePorts final : bus::Device {
  explicit LinePorts(chips::IoApic& chip) : ioapic(chip) {}
  bus::Access read(uint64_t, std::span<std::byte>) override { return bus::Access::no_register; }
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override {
    ioapic.line(static_cast<unsigned>(offset)).set(value_of(data) & 1);
    return bus::Access::done;
  }
  chips::IoApic& ioapic;
};

struct Options {
  unsigned cpu_count = 1;
  uint64_t memory_size = uint64_t{128} << 20;
  HypervisorChoice hypervisor = HypervisorChoice::soft;
  double timeout = 90;
  std::vector<std::string> words;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) die(fmt::format("{} needs a value", argument));
      return argv[++i];
    };
    if (argument == "--cpus") {
      options.cpu_count = static_cast<unsigned>(std::stoul(value()));
    } else if (argument == "--memory") {
      options.memory_size = value_or_die(parse_size(value()));
    } else if (argument == "--hypervisor") {
      const auto choice = from_string<HypervisorChoice>(value());
      if (!choice) die("--hypervisor is auto, kvm or soft");
      options.hypervisor = *choice;
    } else if (argument == "--timeout") {
      options.timeout = std::stod(value());
    } else {
      options.words.emplace_back(argument);
    }
  }
  if (options.words.empty()) die("name a program");
  options.words.resize(3);
  if (options.memory_size < 2 << 20 || options.memory_size % (1 << 20))
    die("--memory is whole MiB, 2 at least");
  return options;
}

std::vector<std::byte> contents(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) die(fmt::format("{}: {}", path, strerror(errno)));
  return value_or_die(boot::read_file(file.get(), path));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  UniqueFd kvm(options.hypervisor == HypervisorChoice::soft ? -1 : open("/dev/kvm", O_RDWR | O_CLOEXEC));
  const auto hypervisor = value_or_die(machine::choose_hypervisor(options.hypervisor, std::move(kvm)));
  const auto layout =
      value_or_die(machine::lay_out_memory(options.memory_size, hypervisor->physical_address_bits()));
  auto memory = value_or_die(memory::GuestMemory::create(layout.regions));
  exec::HostClock clock("clock");
  exec::LoopThread loop("devices");
  Ending ending;
  machine::IoRouter router;

  const auto vm =
      value_or_die(hypervisor->create_vm({.cpu_count = options.cpu_count, .memory = &memory, .io = &router}));
  serial::Port serial(loop.loop(), value_or_die(LogRing::create()));
  serial.attach({.writing = UniqueFd(dup(STDOUT_FILENO))});
  const auto board =
      value_or_die(machine::Board::create(*vm, router, clock, layout,
                                          {.reset = [&] { ending.end(2, "the program resets the machine"); },
                                           .power_off = [&] { ending.end(0); }}));
  value_or_die(board->add_uart(serial));
  value_or_die(board->write_tables(memory, {}));

  ExitPort exit_port(ending);
  Latch<4> latch, flush;
  Latch<0x10000> latch_memory;
  LinePorts lines(*router.ioapic);
  value_or_die(router.ports.add(0xe0, 4, latch, "test: latch"));
  value_or_die(router.ports.add(0xe4, 4, flush, "test: flush"));
  value_or_die(router.ports.add(0xf4, 4, exit_port, "test: end"));
  value_or_die(router.ports.add(0x2000, chips::IoApic::kPins, lines, "test: interrupt lines"));
  value_or_die(router.memory.add(0xff000000, 0x10000, latch_memory, "test: memory"));

  const auto image = contents(options.words[0]);
  const std::string& module_path = options.words[1];
  const auto module =
      module_path.empty() || module_path == "-" ? std::vector<std::byte>() : contents(module_path);
  for (unsigned i = 0; i < vm->cpu_count(); ++i) vm->vcpu(i).reset();
  const cpu::X86State entry =
      value_or_die(multiboot::load(memory,
                                   {.image = image,
                                    .module = module,
                                    .command_line = options.words[0] + " " + options.words[2],
                                    .memory_map = layout.map},
                                   vm->vcpu(0).state()));
  value_or_die(vm->vcpu(0).set_state(entry));

  machine::Processors processors(*vm, [&](unsigned index, cpu::Exit exit) {
    const cpu::X86State state = vm->vcpu(index).state();
    ending.end(2,
               fmt::format("processor {} at {:#x} (cs base {:#x}): {}", index, state.rip,
                           state.segments[cpu::cs].base,
                           exit == cpu::Exit::shutdown ? "triple fault" : vm->vcpu(index).error().message()));
  });
  clock.resume();
  processors.resume();
  const int status = ending.wait(std::chrono::duration<double>(options.timeout));
  processors.pause();
  if (status == 124) {
    for (unsigned i = 0; i < vm->cpu_count(); ++i) {
      const cpu::X86State state = vm->vcpu(i).state();
      fmt::print(stderr, "run_multiboot: time is up; processor {} at {:#x}, flags {:#x}\n", i, state.rip,
                 state.rflags);
    }
  }
  clock.pause();
  loop.loop().call([] {});  // What the program printed is out.
  return status;
}
