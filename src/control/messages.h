// What application and machine process say to each other.
//
// Application to machine, each with "request" (a name below) and "id":
//   start {configuration, descriptors: [field path…]} with that many file descriptors; once, first
//   pause, resume, request_stop
//   stop                    answered when the machine has ended; the process ends then
//   add_port_forward, remove_port_forward {device, forward}
//   input {events: […]}     see input_messages.h; no reply, and no "id"
//   attach_usb {controller, device} with its image and those below it; detach_usb {controller, uuid}
//   attach_storage {device} with its image and those below it; detach_storage {device, timeout, force},
//   milliseconds
//   change_usb_medium {controller, uuid, device?} with the image of the device's attachment, and those below
//   it set_share {device, share?, descriptors: paths of the folders, which come with it} connect_socket
//   {port, timeout} with one file descriptor; milliseconds answer_socket {connection}, with one file
//   descriptor to accept what socket_request asks, with none to refuse it set_network_attachment {device,
//   attachment?, descriptors: paths of what comes with it} set_console_attachment {device, port, descriptors:
//   paths of the files, which come with it} resize_console {device, port, columns, rows} set_balloon_target
//   {memory_size}, balloon_statistics set_storage_limits {device, bytes_per_second, operations_per_second},
//   resize_storage {device, size}, storage_statistics {device} network_statistics {device}
//   reconfigure_display {device, display, width, height, pixels_per_inch}
// Machine to application:
//   {reply: id, error?: {code, where, what, hint}, …}   one for each request, with
//     start: hypervisor, network: [{port_forwards, addresses}]; add_port_forward: forward;
//     set_network_attachment: port_forwards, addresses; attach_storage: device, its number;
//     balloon_statistics, storage_statistics, network_statistics: statistics; connect_socket: port
//   {event: stopped | error {error} | rebooted | addresses {device, addresses} |
//           network_error {device, error} | console_port {device, port, open} |
//           storage_connected {device} | storage_error {device, error} | storage_detached {device} |
//           socket_request {connection, source_port, port}}      the first two end the process
#pragma once

#include <alcove/devices.h>
#include <alcove/error.h>
#include <alcove/virtual_machine.h>

#include <optional>
#include <string>
#include <vector>

#include "config/json.h"

namespace alcove::control {

using config::Json;

Json to_json(const Error& error);
// Anything else becomes an internal error that says so.
Error error_from_json(const Json& tree);

Json to_json(const MemoryBalloonStatistics& statistics);
MemoryBalloonStatistics statistics_from_json(const Json& tree);

Json to_json(const StorageDeviceStatistics& statistics);
StorageDeviceStatistics storage_statistics_from_json(const Json& tree);

Json to_json(const NetworkDeviceStatistics& statistics);
NetworkDeviceStatistics network_statistics_from_json(const Json& tree);

Json to_json(const Prerequisite& prerequisite);
Prerequisite prerequisite_from_json(const Json& tree);

// A member of a message: nothing if it is missing or of another kind.
std::optional<std::string> text_of(const Json& tree, std::string_view name);
std::optional<uint64_t> number_of(const Json& tree, std::string_view name);
// The texts in a list; others are left out.
std::vector<std::string> texts_of(const Json& tree, std::string_view name);
// The member itself; an empty object if it is missing.
const Json& member_of(const Json& tree, std::string_view name);

}  // namespace alcove::control
