// Configurations as trees of JSON values: the one form between structs and texts, files or messages.
#pragma once

#include <alcove/error.h>
#include <alcove/virtual_machine_configuration.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace alcove::config {

using Json = nlohmann::ordered_json;  // Keeps the order of fields.h.

enum class SizeStyle {
  number,  // 4294967296
  text,    // "4 GiB"
};

Json to_tree(const VirtualMachineConfiguration& configuration, SizeStyle sizes = SizeStyle::number);
// Members missing in the tree keep their default. Errors, one for each problem, are put into `errors`.
VirtualMachineConfiguration from_tree(const Json& tree, std::vector<Error>& errors);

// The same for single values that are part of messages.
Json to_tree(const PortForward& forward);
Result<PortForward> port_forward_from_tree(const Json& tree, const std::string& path);
Json to_tree(const USBDeviceConfiguration& device);
Result<USBDeviceConfiguration> usb_device_from_tree(const Json& tree, const std::string& path);
Json to_tree(const StorageDeviceConfiguration& device);
Result<StorageDeviceConfiguration> storage_device_from_tree(const Json& tree, const std::string& path);
Json to_tree(const NetworkDeviceAttachment& attachment);
Result<NetworkDeviceAttachment> network_attachment_from_tree(const Json& tree, const std::string& path);
Json to_tree(const DirectoryShare& share);
Result<DirectoryShare> directory_share_from_tree(const Json& tree, const std::string& path);
Json to_tree(const BootLoader& boot_loader);

// Parses any text, without exceptions; `where` names it in errors.
Result<Json> parse_json(std::string_view text, std::string where);
// One line; bytes that are no UTF-8 become U+FFFD.
std::string print_json(const Json& tree);

}  // namespace alcove::config
