// Runs a machine and plugs sticks into it while it runs, one after another: each is new, is pulled out when
// the guest says "ROUND n …" on the last serial port, and is then looked at by CHECKER, which gets that line
// and the stick's path. In between it asks for what is refused, and looks for what the processes keep. What
// tests/acceptance/hot_plug looks at. usage: hot_plug MACHINE.toml STICK CHECKER ROUNDS
#include <alcove/alcove.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

using namespace alcove;
using namespace alcove::literals;

namespace {

constexpr uint64_t kStickSize = 64_MiB;
constexpr uint64_t kMostGrowth = 16_MiB;
// Programs that the guest starts are translated anew, until the engine forgets old translations.
constexpr uint64_t kMostGrowthOfMachine = 256_MiB;
constexpr std::chrono::minutes kPatience{10};

// Ends the program, and with it the machine.
[[noreturn]] void give_up(const std::string& why) {
  std::cerr << "FAILED: " << why << std::endl;
  std::quick_exit(1);
}

template <class Ask>
Result<> outcome(Ask ask) {
  std::promise<Result<>> promise;
  ask([&](Result<> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}
Result<> attach(USBController& controller, const std::shared_ptr<USBDevice>& device) {
  return outcome([&](auto completion) { controller.attach(device, std::move(completion)); });
}
Result<> detach(USBController& controller, const std::shared_ptr<USBDevice>& device) {
  return outcome([&](auto completion) { controller.detach(device, std::move(completion)); });
}

void expect(const char* what, const Result<>& result, std::optional<ErrorCode> code = {}) {
  if (result ? !code : code && result.error().code == *code) return;
  give_up(std::string(what) + (result ? " was not refused" : ": " + result.error().message()));
}

std::shared_ptr<USBDevice> stick(const std::filesystem::path& path, bool attached_scsi,
                                 const UUID& uuid = {}) {
  return std::make_shared<USBMassStorageDevice>(
      USBMassStorageDeviceConfiguration{.uuid = uuid,
                                        .attachment = DiskImageStorageDeviceAttachment{.path = path},
                                        .attached_scsi = attached_scsi});
}

void make_empty(const std::filesystem::path& path) {
  std::filesystem::remove(path);
  std::ofstream file(path);
  file.close();
  std::filesystem::resize_file(path, kStickSize);
}

struct Kept {
  size_t descriptors = 0, threads = 0;
  uint64_t memory = 0;  // Of its own, without the guest's.

  static Kept of(int process) {
    Kept kept;
    const std::filesystem::path folder = "/proc/" + std::to_string(process);
    using Entries = std::filesystem::directory_iterator;
    kept.descriptors = static_cast<size_t>(std::distance(Entries(folder / "fd"), Entries()));
    kept.threads = static_cast<size_t>(std::distance(Entries(folder / "task"), Entries()));
    std::ifstream maps(folder / "smaps");
    bool is_guests = false;
    for (std::string line; std::getline(maps, line);) {
      if (line.find(':') > 30) is_guests = line.find("alcove guest memory") != std::string::npos;
      if (line.starts_with("Private_Dirty:") && !is_guests) kept.memory += std::stoull(line.substr(14)) << 10;
    }
    return kept;
  }
};

std::ostream& operator<<(std::ostream& out, const Kept& kept) {
  return out << kept.descriptors << " descriptors, " << kept.threads << " threads, " << (kept.memory >> 10)
             << " KiB";
}

// What is refused, with a stick plugged into the first controller.
void ask_for_what_is_refused(VirtualMachine& machine, const std::shared_ptr<USBDevice>& device,
                             const std::filesystem::path& path) {
  USBController& first = *machine.usb_controllers()[0];
  USBController& second = *machine.usb_controllers()[1];
  const std::filesystem::path other = path.string() + ".other";
  make_empty(other);
  expect("a second attach", attach(first, device), kUSBDeviceAlreadyAttached);
  expect("an attach to a second controller", attach(second, device), kUSBDeviceAlreadyAttached);
  expect("a second stick of one uuid", attach(second, stick(other, true, device->uuid())),
         kUSBDeviceAlreadyAttached);
  expect("one file in two sticks", attach(first, stick(path, true)), kUSBDeviceInitializationFailure);
  expect("a file that is not there", attach(first, stick(path.string() + ".absent", true)),
         kUSBDeviceInitializationFailure);
  expect("a detach of what is not there", detach(first, stick(other, true)), kUSBDeviceNotFound);
  expect("a detach from the other controller", detach(second, device), kUSBDeviceNotFound);
  std::vector<std::shared_ptr<USBDevice>> sticks;
  for (int number = 0; number < 8; ++number) {
    const std::filesystem::path one = path.string() + "." + std::to_string(number);
    make_empty(one);
    sticks.push_back(stick(one, true));
    if (number < 7) expect("a further stick", attach(first, sticks.back()));
  }
  expect("one stick more than there are ports", attach(first, sticks.back()),
         kUSBDeviceInitializationFailure);
  sticks.pop_back();
  for (const auto& one : sticks) expect("pulling out a further stick", detach(first, one));
}

std::string wait_for_line(VirtualMachine& machine, const std::string& beginning) {
  const SerialPort& port = *machine.serial_ports().back();
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end && machine.state() == VirtualMachineState::running) {
    const std::string log = port.log();
    const size_t at = log.find(beginning);
    if (const size_t newline = log.find('\n', at); at != std::string::npos && newline != std::string::npos) {
      std::string line = log.substr(at, newline - at);
      std::erase(line, '\r');
      return line;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  give_up("the guest did not say " + beginning + "; it said\n" + port.log());
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 5) return std::cerr << "usage: hot_plug MACHINE.toml STICK CHECKER ROUNDS\n", 2;
  const std::filesystem::path path = arguments[2];
  const int rounds = std::stoi(arguments[4]);
  const auto configuration = VirtualMachineConfiguration::load(arguments[1]);
  if (!configuration) give_up(configuration.error().message());
  auto created = VirtualMachine::create(*configuration);
  if (!created) give_up(created.error().message());
  VirtualMachine& machine = **created;
  expect("the start", outcome([&](auto completion) { machine.start(std::move(completion)); }));

  (void)wait_for_line(machine, "READY");
  std::optional<Kept> before, own_before;
  for (int round = 1; round <= rounds; ++round) {
    make_empty(path);
    const auto device = stick(path, round % 8 < 4);
    USBController& controller = *machine.usb_controllers()[0];
    expect("plugging in", attach(controller, device));
    const std::string line = wait_for_line(machine, "ROUND " + std::to_string(round) + " ");
    if (round % 25 == 1) ask_for_what_is_refused(machine, device, path);
    expect("pulling out", detach(controller, device));
    const std::string check = std::string(arguments[3]) + " check '" + line + "' '" + path.string() + "'";
    if (std::system(check.c_str()) != 0) give_up(line);
    const Kept kept = Kept::of(machine.process_id()), own = Kept::of(getpid());
    if (round == std::min(10, rounds)) before = kept, own_before = own;
    if (round % 10 == 0 || round == rounds)
      std::cout << line << "; the machine keeps " << kept << "; we keep " << own << std::endl;
    if (round != rounds) continue;
    if (kept.descriptors > before->descriptors || kept.threads > before->threads ||
        own.descriptors > own_before->descriptors || own.threads > own_before->threads)
      give_up("descriptors or threads are left over");
    if (kept.memory > before->memory + kMostGrowthOfMachine || own.memory > own_before->memory + kMostGrowth)
      give_up("memory is left over");
  }
  std::cout << wait_for_line(machine, "LOG ") << std::endl;
  const Result<> ended = machine.wait_until_stopped();
  if (!ended) give_up(ended.error().message());
}
