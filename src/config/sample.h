// For tests: a configuration in which every member differs from its default.
#pragma once

#include <alcove/alcove.h>

namespace alcove::config {

inline VirtualMachineConfiguration full_sample() {
  using namespace literals;
  return {
      .label = "a \"label\" \\ ü",
      .cpu_count = 3,
      .cpu_model = "x86-64-v2,+aes",
      .memory_size = 1536_MiB,
      .platform = GenericPlatformConfiguration{},
      .boot_loader = LinuxBootLoader{.kernel = "/boot/vmlinuz",
                                     .command_line = "console=ttyS0\tquiet",
                                     .initial_ramdisk = "/boot/initrd"},
      .storage_devices =
          {VirtioBlockDeviceConfiguration{
               .block_device_identifier = "root",
               .attachment =
                   DiskImageStorageDeviceAttachment{
                       .path = "/srv/root.img",
                       .format = DiskImageFormat::qcow2,
                       .base_layers = {{"/srv/base.img", DiskImageFormat::raw},
                                       {.path = "/srv/cache.qcow2", .is_cache = true},
                                       {.path = "/srv/middle.qcow2"}},
                       .allow_backing_files = true,
                       .read_only = true,
                       .caching_mode = DiskImageCachingMode::uncached,
                       .synchronization_mode = DiskImageSynchronizationMode::none,
                       .locking_mode = DiskImageLockingMode::none},
               .queue_count = 4,
               .limits = {.bytes_per_second = 20 << 20, .operations_per_second = 500}},
           VirtioBlockDeviceConfiguration{
               .attachment = DiskImageStorageDeviceAttachment{.path = "/srv/data.img",
                                                              .caching_mode = DiskImageCachingMode::cached,
                                                              .synchronization_mode =
                                                                  DiskImageSynchronizationMode::fsync}},
           NVMExpressControllerDeviceConfiguration{
               .serial_number = "N1",
               .attachment = DiskImageStorageDeviceAttachment{.path = "/srv/nvme.img"}},
           VirtioBlockDeviceConfiguration{
               .attachment =
                   NetworkBlockDeviceStorageDeviceAttachment{
                       .url = "nbd://localhost/export",
                       .timeout = 5,
                       .forced_read_only = true,
                       .synchronization_mode = DiskImageSynchronizationMode::none}},
           VirtioBlockDeviceConfiguration{
               .attachment =
                   DiskBlockDeviceStorageDeviceAttachment{
                       .file_handle = 0, .synchronization_mode = DiskImageSynchronizationMode::fsync}},
           USBMassStorageDeviceConfiguration{
               .attachment =
                   DiskImageStorageDeviceAttachment{.path = "/srv/installer.iso", .read_only = true},
               .optical_disc = true}},
      .usb_controllers = {XHCIControllerConfiguration{
          .usb_devices = {USBMassStorageDeviceConfiguration{
              .attachment = DiskImageStorageDeviceAttachment{.path = "/srv/stick.img"},
              .attached_scsi = false}}}},
      .network_devices =
          {VirtioNetworkDeviceConfiguration{
               .attachment =
                   NATNetworkDeviceAttachment{.port_forwards = {{.host_port = 2222, .guest_port = 22},
                                                                {.protocol = TransportProtocol::udp,
                                                                 .host_address = "::1",
                                                                 .host_port = 0,
                                                                 .guest_address = "10.0.2.15",
                                                                 .guest_port = 53}},
                                              .network = {.ipv4_subnet = "10.9.0.0/24",
                                                          .ipv6_prefix = "fd00:9::/64",
                                                          .ipv4_address = "10.9.0.77",
                                                          .maximum_transmission_unit = 9000,
                                                          .external_interface = "lo",
                                                          .nat44 = false,
                                                          .nat66 = false,
                                                          .dhcp = false,
                                                          .dns_proxy = false,
                                                          .router_advertisement = false}},
               .rules = {{.action = NetworkRuleAction::allow,
                          .destination = "10.0.2.3",
                          .protocol = TransportProtocol::udp,
                          .first_port = 53},
                         {.destination = "fd00::/8",
                          .protocol = TransportProtocol::tcp,
                          .first_port = 1,
                          .last_port = 1023},
                         {}}},
           VirtioNetworkDeviceConfiguration{},
           VirtioNetworkDeviceConfiguration{
               .attachment =
                   FileHandleNetworkDeviceAttachment{.file_handle = 5, .maximum_transmission_unit = 9000}},
           VirtioNetworkDeviceConfiguration{
               .attachment = TapNetworkDeviceAttachment{.interface_name = "tap0", .file_handle = 6}},
           VirtioNetworkDeviceConfiguration{
               .attachment =
                   PasstNetworkDeviceAttachment{.program = "/usr/bin/passt",
                                                .port_forwards = {{.host_port = 8080, .guest_port = 80}}}},
           VirtioNetworkDeviceConfiguration{
               .attachment =
                   SharedNetworkDeviceAttachment{.network_name = "lab",
                                                 .host_name = "web",
                                                 .reaches_peers = true,
                                                 .port_forwards = {{.host_port = 2223, .guest_port = 22}},
                                                 .network = {.ipv4_address = "10.200.0.9"}}}},
      .directory_sharing_devices =
          {VirtioFileSystemDeviceConfiguration{
               .tag = "source",
               .share =
                   SingleDirectoryShare{
                       {.path = "/srv/source",
                        .read_only = true,
                        .ownership =
                            MappedOwnership{.users = {{1000, 500, 10}, {0, 0, 1}}, .groups = {{100, 50, 2}}},
                        .caching_mode = SharedDirectoryCachingMode::always,
                        .shared_locks = true}}},
           VirtioFileSystemDeviceConfiguration{
               .tag = "ünion",
               .share =
                   MultipleDirectoryShare{
                       {{"one", {.path = "/srv/one", .ownership = SquashedOwnership{1000, 100}}},
                        {"the \"other\".", {.path = "/srv/other", .ownership = VirtualOwnership{1, 2}}}}}},
           VirtioFileSystemDeviceConfiguration{
               .tag = "empty", .mount_point = "/mnt/empty", .dax_window_size = 256 << 20}},
      .socket_devices = {VirtioSocketDeviceConfiguration{
          .guest_cid = 77,
          .bridges = {{.port = 9000, .path = "/run/agent.sock"},
                      {.direction = SocketBridgeDirection::to_guest, .port = 22, .path = "/srv/ssh.sock"}}}},
      .graphics_devices = {VirtioGraphicsDeviceConfiguration{
          .scanouts = {{.width = 1920, .height = 1080, .pixels_per_inch = 144},
                       {.width = 640, .height = 480, .pixels_per_inch = 72}}}},
      .serial_ports = {UART16550SerialPortConfiguration{
                           .attachment = FileHandleSerialPortAttachment{.reading = 0, .writing = 1}},
                       UART16550SerialPortConfiguration{},
                       VirtioConsoleDeviceSerialPortConfiguration{
                           .attachment =
                               FileSerialPortAttachment{.path = "/tmp/console.log", .append = true}},
                       VirtioConsoleDeviceSerialPortConfiguration{.attachment =
                                                                      PseudoTerminalSerialPortAttachment{}}},
      .console_devices = {VirtioConsoleDeviceConfiguration{
          .ports = {{.is_console = true, .attachment = PseudoTerminalSerialPortAttachment{}},
                    {.number = 2,
                     .name = "com.redhat.spice.0",
                     .attachment = SpiceAgentPortAttachment{.clipboard_to_guest = false,
                                                            .clipboard_from_guest = false}},
                    {.number = 3, .name = "org.example.0"}},
          .maximum_port_count = 8}},
      .keyboards = {USBKeyboardConfiguration{}, VirtioKeyboardConfiguration{}},
      .pointing_devices = {VirtioTrackpadConfiguration{.width = 120, .height = 80},
                           USBScreenCoordinatePointingDeviceConfiguration{},
                           VirtioScreenCoordinatePointingDeviceConfiguration{}},
      .audio_devices = {VirtioSoundDeviceConfiguration{
          .streams = {VirtioSoundDeviceOutputStreamConfiguration{.sink = HostAudioOutputStreamSink{}},
                      VirtioSoundDeviceInputStreamConfiguration{.source = HostAudioInputStreamSource{}},
                      VirtioSoundDeviceOutputStreamConfiguration{
                          .sink = FileAudioOutputStreamSink{.path = "/srv/played.wav",
                                                            .sample_rate = 44100,
                                                            .channel_count = 6,
                                                            .sample_format = AudioSampleFormat::f32}},
                      VirtioSoundDeviceInputStreamConfiguration{
                          .source = FileAudioInputStreamSource{.path = "/srv/voice.wav", .loop = true}},
                      VirtioSoundDeviceOutputStreamConfiguration{},
                      VirtioSoundDeviceInputStreamConfiguration{}}}},
      .entropy_devices = {VirtioEntropyDeviceConfiguration{}},
      .memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{
          .free_page_reporting = false, .deflate_on_out_of_memory = false}},
      .hypervisor = HypervisorChoice::soft,
  };
}

}  // namespace alcove::config
