// Names of enumeration values and of variant alternatives, as files and messages have them.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <array>
#include <string_view>
#include <utility>

namespace alcove::config {

template <class Enumeration>
using Name = std::pair<Enumeration, std::string_view>;

template <class Enumeration>
constexpr int kNames = 0;  // Specialized below as an array of Name.

template <>
inline constexpr std::array kNames<HypervisorChoice> = {
    Name<HypervisorChoice>{HypervisorChoice::automatic, "auto"},
    Name<HypervisorChoice>{HypervisorChoice::kvm, "kvm"},
    Name<HypervisorChoice>{HypervisorChoice::soft, "soft"},
};
template <>
inline constexpr std::array kNames<DiskImageFormat> = {
    Name<DiskImageFormat>{DiskImageFormat::automatic, "auto"},
    Name<DiskImageFormat>{DiskImageFormat::raw, "raw"},
    Name<DiskImageFormat>{DiskImageFormat::qcow2, "qcow2"},
};
template <>
inline constexpr std::array kNames<DiskImageCachingMode> = {
    Name<DiskImageCachingMode>{DiskImageCachingMode::automatic, "auto"},
    Name<DiskImageCachingMode>{DiskImageCachingMode::uncached, "uncached"},
    Name<DiskImageCachingMode>{DiskImageCachingMode::cached, "cached"},
};
template <>
inline constexpr std::array kNames<DiskImageSynchronizationMode> = {
    Name<DiskImageSynchronizationMode>{DiskImageSynchronizationMode::full, "full"},
    Name<DiskImageSynchronizationMode>{DiskImageSynchronizationMode::fsync, "fsync"},
    Name<DiskImageSynchronizationMode>{DiskImageSynchronizationMode::none, "none"},
};
template <>
inline constexpr std::array kNames<DiskImageLockingMode> = {
    Name<DiskImageLockingMode>{DiskImageLockingMode::automatic, "auto"},
    Name<DiskImageLockingMode>{DiskImageLockingMode::none, "none"},
};
template <>
inline constexpr std::array kNames<NetworkRuleAction> = {
    Name<NetworkRuleAction>{NetworkRuleAction::allow, "allow"},
    Name<NetworkRuleAction>{NetworkRuleAction::deny, "deny"},
};
template <>
inline constexpr std::array kNames<TransportProtocol> = {
    Name<TransportProtocol>{TransportProtocol::tcp, "tcp"},
    Name<TransportProtocol>{TransportProtocol::udp, "udp"},
};
template <>
inline constexpr std::array kNames<SharedDirectoryCachingMode> = {
    Name<SharedDirectoryCachingMode>{SharedDirectoryCachingMode::none, "none"},
    Name<SharedDirectoryCachingMode>{SharedDirectoryCachingMode::automatic, "auto"},
    Name<SharedDirectoryCachingMode>{SharedDirectoryCachingMode::always, "always"},
};
template <>
inline constexpr std::array kNames<SocketBridgeDirection> = {
    Name<SocketBridgeDirection>{SocketBridgeDirection::to_host, "to_host"},
    Name<SocketBridgeDirection>{SocketBridgeDirection::to_guest, "to_guest"},
};
template <>
inline constexpr std::array kNames<AudioSampleFormat> = {
    Name<AudioSampleFormat>{AudioSampleFormat::u8, "u8"},
    Name<AudioSampleFormat>{AudioSampleFormat::s16, "s16"},
    Name<AudioSampleFormat>{AudioSampleFormat::s24, "s24"},
    Name<AudioSampleFormat>{AudioSampleFormat::s32, "s32"},
    Name<AudioSampleFormat>{AudioSampleFormat::f32, "f32"},
};

// The value of `type` that tells an alternative of a variant from the others.
template <class T>
constexpr std::string_view kTypeName = "";

template <>
inline constexpr std::string_view kTypeName<GenericPlatformConfiguration> = "generic";
template <>
inline constexpr std::string_view kTypeName<LinuxBootLoader> = "linux";
template <>
inline constexpr std::string_view kTypeName<EFIBootLoader> = "efi";
template <>
inline constexpr std::string_view kTypeName<VirtioBlockDeviceConfiguration> = "virtio_block";
template <>
inline constexpr std::string_view kTypeName<NVMExpressControllerDeviceConfiguration> =
    "nvm_express_controller";
template <>
inline constexpr std::string_view kTypeName<USBMassStorageDeviceConfiguration> = "usb_mass_storage";
template <>
inline constexpr std::string_view kTypeName<XHCIControllerConfiguration> = "xhci";
template <>
inline constexpr std::string_view kTypeName<DiskImageStorageDeviceAttachment> = "disk_image";
template <>
inline constexpr std::string_view kTypeName<NetworkBlockDeviceStorageDeviceAttachment> =
    "network_block_device";
template <>
inline constexpr std::string_view kTypeName<DiskBlockDeviceStorageDeviceAttachment> = "disk_block_device";
template <>
inline constexpr std::string_view kTypeName<VirtioNetworkDeviceConfiguration> = "virtio_network";
template <>
inline constexpr std::string_view kTypeName<NATNetworkDeviceAttachment> = "nat";
template <>
inline constexpr std::string_view kTypeName<FileHandleNetworkDeviceAttachment> = "file_handle";
template <>
inline constexpr std::string_view kTypeName<TapNetworkDeviceAttachment> = "tap";
template <>
inline constexpr std::string_view kTypeName<PasstNetworkDeviceAttachment> = "passt";
template <>
inline constexpr std::string_view kTypeName<SharedNetworkDeviceAttachment> = "shared_network";
template <>
inline constexpr std::string_view kTypeName<VirtioGraphicsDeviceConfiguration> = "virtio_graphics";
template <>
inline constexpr std::string_view kTypeName<VirtioFileSystemDeviceConfiguration> = "virtio_file_system";
template <>
inline constexpr std::string_view kTypeName<VirtioSocketDeviceConfiguration> = "virtio_socket";
template <>
inline constexpr std::string_view kTypeName<SingleDirectoryShare> = "single_directory";
template <>
inline constexpr std::string_view kTypeName<MultipleDirectoryShare> = "multiple_directory";
template <>
inline constexpr std::string_view kTypeName<SquashedOwnership> = "squashed";
template <>
inline constexpr std::string_view kTypeName<MappedOwnership> = "mapped";
template <>
inline constexpr std::string_view kTypeName<VirtualOwnership> = "virtual";
template <>
inline constexpr std::string_view kTypeName<UART16550SerialPortConfiguration> = "uart_16550";
template <>
inline constexpr std::string_view kTypeName<VirtioConsoleDeviceSerialPortConfiguration> = "virtio_console";
template <>
inline constexpr std::string_view kTypeName<FileHandleSerialPortAttachment> = "file_handle";
template <>
inline constexpr std::string_view kTypeName<FileSerialPortAttachment> = "file";
template <>
inline constexpr std::string_view kTypeName<PseudoTerminalSerialPortAttachment> = "pseudo_terminal";
template <>
inline constexpr std::string_view kTypeName<SpiceAgentPortAttachment> = "spice_agent";
template <>
inline constexpr std::string_view kTypeName<VirtioConsoleDeviceConfiguration> = "virtio_console";
template <>
inline constexpr std::string_view kTypeName<USBKeyboardConfiguration> = "usb_keyboard";
template <>
inline constexpr std::string_view kTypeName<VirtioKeyboardConfiguration> = "virtio_keyboard";
template <>
inline constexpr std::string_view kTypeName<USBScreenCoordinatePointingDeviceConfiguration> =
    "usb_screen_coordinate_pointing_device";
template <>
inline constexpr std::string_view kTypeName<VirtioScreenCoordinatePointingDeviceConfiguration> =
    "virtio_screen_coordinate_pointing_device";
template <>
inline constexpr std::string_view kTypeName<VirtioTrackpadConfiguration> = "virtio_trackpad";
template <>
inline constexpr std::string_view kTypeName<VirtioSoundDeviceConfiguration> = "virtio_sound";
template <>
inline constexpr std::string_view kTypeName<VirtioSoundDeviceOutputStreamConfiguration> = "output";
template <>
inline constexpr std::string_view kTypeName<VirtioSoundDeviceInputStreamConfiguration> = "input";
template <>
inline constexpr std::string_view kTypeName<HostAudioOutputStreamSink> = "host";
template <>
inline constexpr std::string_view kTypeName<FileAudioOutputStreamSink> = "file";
template <>
inline constexpr std::string_view kTypeName<HostAudioInputStreamSource> = "host";
template <>
inline constexpr std::string_view kTypeName<FileAudioInputStreamSource> = "file";
template <>
inline constexpr std::string_view kTypeName<VirtioEntropyDeviceConfiguration> = "virtio_entropy";
template <>
inline constexpr std::string_view kTypeName<VirtioTraditionalMemoryBalloonDeviceConfiguration> =
    "virtio_traditional_memory_balloon";

}  // namespace alcove::config
