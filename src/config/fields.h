// The members of every configuration struct, listed once: `fields(visitor, object)` calls
// `visitor(name, member)` for each, in the order of machine files. Reading, writing and path handling are
// visitors. A member added to a struct is added here and nowhere else.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <concepts>
#include <type_traits>

namespace alcove::config {

// A member that counts bytes: files may say "4 GiB".
template <class Integer>
struct Size {
  Integer& bytes;
};
template <class Integer>
Size(Integer&) -> Size<Integer>;

template <class T, class Plain>
concept Is = std::same_as<std::remove_const_t<T>, Plain>;

template <class V, Is<GenericPlatformConfiguration> T>
void fields(V& visit, T& value) {
  visit("machine_identifier", value.machine_identifier);
}

template <class V, Is<LinuxBootLoader> T>
void fields(V& visit, T& value) {
  visit("kernel", value.kernel);
  visit("command_line", value.command_line);
  visit("initial_ramdisk", value.initial_ramdisk);
}

template <class V, Is<EFIVariableStore> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
}

template <class V, Is<EFIBootLoader> T>
void fields(V& visit, T& value) {
  visit("variable_store", value.variable_store);
  visit("firmware", value.firmware);
}

template <class V, Is<DiskImageLayer> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
  visit("format", value.format);
  visit("is_cache", value.is_cache);
}

template <class V, Is<DiskImageStorageDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
  visit("format", value.format);
  visit("base_layers", value.base_layers);
  visit("allow_backing_files", value.allow_backing_files);
  visit("read_only", value.read_only);
  visit("caching_mode", value.caching_mode);
  visit("synchronization_mode", value.synchronization_mode);
  visit("locking_mode", value.locking_mode);
}

template <class V, Is<NetworkBlockDeviceStorageDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("url", value.url);
  visit("timeout", value.timeout);
  visit("forced_read_only", value.forced_read_only);
  visit("synchronization_mode", value.synchronization_mode);
}

template <class V, Is<DiskBlockDeviceStorageDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("file_handle", value.file_handle);
  visit("read_only", value.read_only);
  visit("synchronization_mode", value.synchronization_mode);
}

template <class V, Is<StorageDeviceLimits> T>
void fields(V& visit, T& value) {
  visit("bytes_per_second", Size(value.bytes_per_second));
  visit("operations_per_second", value.operations_per_second);
}

template <class V, Is<VirtioBlockDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("block_device_identifier", value.block_device_identifier);
  visit("attachment", value.attachment);
  visit("queue_count", value.queue_count);
  visit("limits", value.limits);
}

template <class V, Is<NVMExpressControllerDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("serial_number", value.serial_number);
  visit("attachment", value.attachment);
  visit("limits", value.limits);
}

template <class V, Is<USBMassStorageDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("uuid", value.uuid);
  visit("attachment", value.attachment);
  visit("optical_disc", value.optical_disc);
  visit("attached_scsi", value.attached_scsi);
  visit("limits", value.limits);
}

template <class V, Is<XHCIControllerConfiguration> T>
void fields(V& visit, T& value) {
  visit("usb_devices", value.usb_devices);
}

template <class V, Is<PortForward> T>
void fields(V& visit, T& value) {
  visit("protocol", value.protocol);
  visit("host_address", value.host_address);
  visit("host_port", value.host_port);
  visit("guest_address", value.guest_address);
  visit("guest_port", value.guest_port);
}

template <class V, Is<PrivateNetwork> T>
void fields(V& visit, T& value) {
  visit("ipv4_subnet", value.ipv4_subnet);
  visit("ipv6_prefix", value.ipv6_prefix);
  visit("ipv4_address", value.ipv4_address);
  visit("maximum_transmission_unit", value.maximum_transmission_unit);
  visit("external_interface", value.external_interface);
  visit("nat44", value.nat44);
  visit("nat66", value.nat66);
  visit("dhcp", value.dhcp);
  visit("dns_proxy", value.dns_proxy);
  visit("router_advertisement", value.router_advertisement);
}

template <class V, Is<NATNetworkDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("port_forwards", value.port_forwards);
  visit("network", value.network);
}

template <class V, Is<FileHandleNetworkDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("file_handle", value.file_handle);
  visit("maximum_transmission_unit", value.maximum_transmission_unit);
}

template <class V, Is<TapNetworkDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("interface_name", value.interface_name);
  visit("file_handle", value.file_handle);
}

template <class V, Is<PasstNetworkDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("program", value.program);
  visit("port_forwards", value.port_forwards);
}

template <class V, Is<SharedNetworkDeviceAttachment> T>
void fields(V& visit, T& value) {
  visit("network_name", value.network_name);
  visit("host_name", value.host_name);
  visit("reaches_peers", value.reaches_peers);
  visit("port_forwards", value.port_forwards);
  visit("network", value.network);
}

template <class V, Is<NetworkRule> T>
void fields(V& visit, T& value) {
  visit("action", value.action);
  visit("destination", value.destination);
  visit("protocol", value.protocol);
  visit("first_port", value.first_port);
  visit("last_port", value.last_port);
}

template <class V, Is<VirtioNetworkDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("mac_address", value.mac_address);
  visit("attachment", value.attachment);
  visit("rules", value.rules);
}

template <class V, Is<IDRange> T>
void fields(V& visit, T& value) {
  visit("host", value.host);
  visit("guest", value.guest);
  visit("count", value.count);
}

template <class V, Is<SquashedOwnership> T>
void fields(V& visit, T& value) {
  visit("user", value.user);
  visit("group", value.group);
}

template <class V, Is<MappedOwnership> T>
void fields(V& visit, T& value) {
  visit("users", value.users);
  visit("groups", value.groups);
}

template <class V, Is<VirtualOwnership> T>
void fields(V& visit, T& value) {
  visit("user", value.user);
  visit("group", value.group);
}

template <class V, Is<SharedDirectory> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
  visit("read_only", value.read_only);
  visit("ownership", value.ownership);
  visit("caching_mode", value.caching_mode);
  visit("shared_locks", value.shared_locks);
}

template <class V, Is<SingleDirectoryShare> T>
void fields(V& visit, T& value) {
  visit("directory", value.directory);
}

template <class V, Is<MultipleDirectoryShare> T>
void fields(V& visit, T& value) {
  visit("directories", value.directories);
}

template <class V, Is<VirtioFileSystemDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("tag", value.tag);
  visit("share", value.share);
  visit("mount_point", value.mount_point);
  visit("dax_window_size", Size{value.dax_window_size});
}

template <class V, Is<UNIXSocketBridge> T>
void fields(V& visit, T& value) {
  visit("direction", value.direction);
  visit("port", value.port);
  visit("path", value.path);
}

template <class V, Is<VirtioSocketDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("guest_cid", value.guest_cid);
  visit("bridges", value.bridges);
}

template <class V, Is<FileHandleSerialPortAttachment> T>
void fields(V& visit, T& value) {
  visit("reading", value.reading);
  visit("writing", value.writing);
}

template <class V, Is<FileSerialPortAttachment> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
  visit("append", value.append);
}

template <class V, Is<PseudoTerminalSerialPortAttachment> T>
void fields(V&, T&) {}

template <class V, Is<UART16550SerialPortConfiguration> T>
void fields(V& visit, T& value) {
  visit("attachment", value.attachment);
}

template <class V, Is<VirtioConsoleDeviceSerialPortConfiguration> T>
void fields(V& visit, T& value) {
  visit("attachment", value.attachment);
}

template <class V, Is<SpiceAgentPortAttachment> T>
void fields(V& visit, T& value) {
  visit("clipboard_to_guest", value.clipboard_to_guest);
  visit("clipboard_from_guest", value.clipboard_from_guest);
}

template <class V, Is<VirtioConsolePortConfiguration> T>
void fields(V& visit, T& value) {
  visit("number", value.number);
  visit("name", value.name);
  visit("is_console", value.is_console);
  visit("attachment", value.attachment);
}

template <class V, Is<VirtioConsoleDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("ports", value.ports);
  visit("maximum_port_count", value.maximum_port_count);
}

template <class V, Is<USBKeyboardConfiguration> T>
void fields(V&, T&) {}

template <class V, Is<VirtioKeyboardConfiguration> T>
void fields(V&, T&) {}

template <class V, Is<USBScreenCoordinatePointingDeviceConfiguration> T>
void fields(V&, T&) {}

template <class V, Is<VirtioScreenCoordinatePointingDeviceConfiguration> T>
void fields(V&, T&) {}

template <class V, Is<VirtioTrackpadConfiguration> T>
void fields(V& visit, T& value) {
  visit("width", value.width);
  visit("height", value.height);
}

template <class V, Is<HostAudioOutputStreamSink> T>
void fields(V&, T&) {}

template <class V, Is<FileAudioOutputStreamSink> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
  visit("sample_rate", value.sample_rate);
  visit("channel_count", value.channel_count);
  visit("sample_format", value.sample_format);
}

template <class V, Is<VirtioSoundDeviceOutputStreamConfiguration> T>
void fields(V& visit, T& value) {
  visit("sink", value.sink);
}

template <class V, Is<HostAudioInputStreamSource> T>
void fields(V&, T&) {}

template <class V, Is<FileAudioInputStreamSource> T>
void fields(V& visit, T& value) {
  visit("path", value.path);
  visit("loop", value.loop);
}

template <class V, Is<VirtioSoundDeviceInputStreamConfiguration> T>
void fields(V& visit, T& value) {
  visit("source", value.source);
}

template <class V, Is<VirtioSoundDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("streams", value.streams);
}

template <class V, Is<VirtioEntropyDeviceConfiguration> T>
void fields(V&, T&) {}

template <class V, Is<VirtioTraditionalMemoryBalloonDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("free_page_reporting", value.free_page_reporting);
  visit("deflate_on_out_of_memory", value.deflate_on_out_of_memory);
}

template <class V, Is<VirtioGraphicsScanoutConfiguration> T>
void fields(V& visit, T& value) {
  visit("width", value.width);
  visit("height", value.height);
  visit("pixels_per_inch", value.pixels_per_inch);
}

template <class V, Is<VirtioGraphicsDeviceConfiguration> T>
void fields(V& visit, T& value) {
  visit("scanouts", value.scanouts);
}

template <class V, Is<VirtualMachineConfiguration> T>
void fields(V& visit, T& value) {
  visit("label", value.label);
  visit("cpu_count", value.cpu_count);
  visit("cpu_model", value.cpu_model);
  visit("memory_size", Size{value.memory_size});
  visit("hypervisor", value.hypervisor);
  visit("platform", value.platform);
  visit("boot_loader", value.boot_loader);
  visit("storage_devices", value.storage_devices);
  visit("usb_controllers", value.usb_controllers);
  visit("network_devices", value.network_devices);
  visit("directory_sharing_devices", value.directory_sharing_devices);
  visit("socket_devices", value.socket_devices);
  visit("graphics_devices", value.graphics_devices);
  visit("serial_ports", value.serial_ports);
  visit("console_devices", value.console_devices);
  visit("keyboards", value.keyboards);
  visit("pointing_devices", value.pointing_devices);
  visit("audio_devices", value.audio_devices);
  visit("entropy_devices", value.entropy_devices);
  visit("memory_balloon_devices", value.memory_balloon_devices);
}

}  // namespace alcove::config
