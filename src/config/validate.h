// Collects problems of a configuration; one function for each part of it.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <string>
#include <string_view>
#include <vector>

namespace alcove::config {

class Problems {
 public:
  void add(std::string where, std::string what, std::string hint = {},
           ErrorCode code = ErrorCode::invalid_virtual_machine_configuration) {
    errors_.push_back(Error{code, std::move(where), std::move(what), std::move(hint)});
  }
  std::vector<Error> take() { return std::move(errors_); }

 private:
  std::vector<Error> errors_;
};

void validate_boot(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_storage(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_usb(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_network(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_directory_sharing(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_sockets(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_graphics(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_serial_ports(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_consoles(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_input(const VirtualMachineConfiguration& configuration, Problems& problems);
void validate_audio(const VirtualMachineConfiguration& configuration, Problems& problems);

// Of a device that is to be attached to a running machine; paths of fields begin with "attachment".
std::vector<Error> validate_usb_device(const USBDeviceConfiguration& device);
// The same; or their names are the device's own.
std::vector<Error> validate_storage_device(const StorageDeviceConfiguration& device);

// What a network device's cable is to be plugged into from now on; paths of fields begin with "attachment".
std::vector<Error> validate_network_attachment(const NetworkDeviceAttachment& attachment);

// What a console's port is to be attached to from now on; paths of fields begin with "attachment".
std::vector<Error> validate_console_attachment(const ConsolePortAttachment& attachment);

// Of a share that a running device is to have from now on; paths of fields begin with "share".
std::vector<Error> validate_share(const DirectoryShare& share);

// Adds a problem unless `path` is a file that can be read. Tells whether it is.
bool check_readable_file(const std::filesystem::path& path, const std::string& where,
                         std::string_view purpose, Problems& problems);
// Adds a problem unless `path` is a file for `contents` that can be written, or made.
void check_writable_file(const std::filesystem::path& path, const std::string& where,
                         std::string_view contents, Problems& problems);

}  // namespace alcove::config
