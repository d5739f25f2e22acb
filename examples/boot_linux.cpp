// Boots a Linux system from a disk image, with its console on this terminal:
//   boot_linux /boot/vmlinuz /boot/initrd.img debian.img
#include <alcove/alcove.h>

#include <future>
#include <iostream>

using namespace alcove;
using namespace alcove::literals;

int main(int argument_count, char** arguments) {
  if (argument_count != 4) return std::cerr << "usage: boot_linux KERNEL INITRD DISK\n", 2;
  const VirtualMachineConfiguration configuration{
      .cpu_count = 2,
      .memory_size = 1_GiB,
      .boot_loader = LinuxBootLoader{.kernel = arguments[1],
                                     .command_line = "console=ttyS0 root=/dev/vda rw",
                                     .initial_ramdisk = arguments[2]},
      .storage_devices = {VirtioBlockDeviceConfiguration{
          .attachment = DiskImageStorageDeviceAttachment{.path = arguments[3]}}},
      .network_devices = {VirtioNetworkDeviceConfiguration{
          .attachment =
              NATNetworkDeviceAttachment{.port_forwards = {{.host_port = 2222, .guest_port = 22}}}}},
      .serial_ports = {UART16550SerialPortConfiguration{
          .attachment = FileHandleSerialPortAttachment{.reading = 0, .writing = 1}}},
      .entropy_devices = {VirtioEntropyDeviceConfiguration{}},
      .memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{}},
  };
  for (const Error& problem : configuration.validate()) std::cerr << problem.message() << '\n';
  auto machine = VirtualMachine::create(configuration);
  if (!machine) return 1;

  std::promise<Result<>> started;
  (*machine)->start([&](Result<> result) { started.set_value(std::move(result)); });
  Result<> result = started.get_future().get();
  if (result) result = (*machine)->wait_until_stopped();
  if (!result) std::cerr << result.error().message() << '\n';
  return result ? 0 : 1;
}
