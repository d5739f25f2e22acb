#include <alcove/alcove.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/testing/temporary_folder.h"
#include "support/unique_fd.h"

namespace alcove {
namespace {

using namespace literals;
using testing::ElementsAre;
using testing::IsEmpty;

// Each test changes one thing in a valid configuration and looks for exactly the problems that makes.
class Validate : public testing::Test {
 protected:
  Validate() {
    std::ofstream(folder / "kernel") << "kernel";
    std::ofstream(folder / "disk") << "";
    std::filesystem::resize_file(folder / "disk", 1_MiB);
    configuration = {
        .boot_loader = LinuxBootLoader{.kernel = folder / "kernel"},
        .storage_devices = {disk()},
        .network_devices = {VirtioNetworkDeviceConfiguration{.attachment = NATNetworkDeviceAttachment{}}},
        .serial_ports = {UART16550SerialPortConfiguration{}},
        .memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{}},
    };
  }

  VirtioBlockDeviceConfiguration disk() const {
    return {.attachment = DiskImageStorageDeviceAttachment{.path = folder / "disk"}};
  }
  LinuxBootLoader& boot_loader() { return std::get<LinuxBootLoader>(*configuration.boot_loader); }
  VirtioBlockDeviceConfiguration& first_disk() {
    return std::get<VirtioBlockDeviceConfiguration>(configuration.storage_devices[0]);
  }
  DiskImageStorageDeviceAttachment& first_image() {
    return std::get<DiskImageStorageDeviceAttachment>(first_disk().attachment);
  }
  VirtioNetworkDeviceConfiguration& first_network() {
    return std::get<VirtioNetworkDeviceConfiguration>(configuration.network_devices[0]);
  }
  std::vector<PortForward>& forwards() {
    return std::get<NATNetworkDeviceAttachment>(*first_network().attachment).port_forwards;
  }
  void set_serial(SerialPortAttachment attachment) {
    configuration.serial_ports = {UART16550SerialPortConfiguration{.attachment = std::move(attachment)}};
  }
  std::vector<std::string> fields() const {
    std::vector<std::string> result;
    for (const Error& error : configuration.validate()) {
      EXPECT_FALSE(error.what.empty());
      result.push_back(error.where);
    }
    return result;
  }
  std::vector<std::string> messages() const {
    std::vector<std::string> result;
    for (const Error& error : configuration.validate()) result.push_back(error.message());
    return result;
  }

  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  VirtualMachineConfiguration configuration;
};

TEST_F(Validate, AcceptsWhatIsValid) {
  EXPECT_THAT(messages(), IsEmpty());
}

TEST_F(Validate, AcceptsTheSmallest) {
  EXPECT_THAT((VirtualMachineConfiguration{.boot_loader = boot_loader()}.validate()), IsEmpty());
}

TEST_F(Validate, NvmExpress) {
  NVMExpressControllerDeviceConfiguration device{.serial_number = "S-1", .attachment = disk().attachment};
  configuration.storage_devices = {device};
  EXPECT_THAT(messages(), IsEmpty());
  configuration.storage_devices = {disk(), device};  // One image for two writers.
  EXPECT_THAT(fields(), ElementsAre("storage_devices[1].attachment.path"));
  device.serial_number = "a/b";
  configuration.storage_devices = {device};
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].serial_number"));
  device.serial_number = std::string(21, 'a');
  configuration.storage_devices = {device};
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].serial_number"));
}

TEST_F(Validate, Input) {
  configuration.keyboards = {VirtioKeyboardConfiguration{}, VirtioKeyboardConfiguration{}};
  configuration.pointing_devices = {VirtioScreenCoordinatePointingDeviceConfiguration{},
                                    VirtioTrackpadConfiguration{.width = 20, .height = 500}};
  EXPECT_THAT(messages(), IsEmpty());
  configuration.pointing_devices = {VirtioTrackpadConfiguration{.width = 19, .height = 501}};
  EXPECT_THAT(fields(), ElementsAre("pointing_devices[0].width", "pointing_devices[0].height"));
}

TEST_F(Validate, Audio) {
  VirtioSoundDeviceConfiguration device;
  const auto output = [&](FileAudioOutputStreamSink sink) {
    device.streams.emplace_back(VirtioSoundDeviceOutputStreamConfiguration{.sink = std::move(sink)});
    configuration.audio_devices = {device};
  };
  const auto input = [&](const std::filesystem::path& path) {
    device.streams.emplace_back(
        VirtioSoundDeviceInputStreamConfiguration{.source = FileAudioInputStreamSource{.path = path}});
    configuration.audio_devices = {device};
  };
  device.streams = {VirtioSoundDeviceOutputStreamConfiguration{},
                    VirtioSoundDeviceInputStreamConfiguration{}};
  output({.path = folder / "played.wav"});
  input(folder / "kernel");
  configuration.audio_devices = {device, VirtioSoundDeviceConfiguration{}};
  EXPECT_THAT(messages(), IsEmpty());
  device.streams.clear();
  output({.path = folder / "played.wav", .sample_rate = 47999, .channel_count = 0});
  output({.path = folder / "." / "played.wav", .sample_rate = 384000, .channel_count = 9});
  EXPECT_THAT(fields(), ElementsAre("audio_devices[0].streams[0].sink.sample_rate",
                                    "audio_devices[0].streams[0].sink.channel_count",
                                    "audio_devices[0].streams[1].sink.path",
                                    "audio_devices[0].streams[1].sink.sample_rate",
                                    "audio_devices[0].streams[1].sink.channel_count"));
  device.streams.clear();
  input(folder / "kernel");
  output({.path = folder / "kernel"});
  EXPECT_THAT(messages(),
              ElementsAre("audio_devices[0].streams[0].source.path: " + (folder / "kernel").string() +
                          " is also audio_devices[0].streams[1].sink.path, which empties it "
                          "(name another file)"));
  device.streams.clear();
  input(folder / "missing");
  output({});
  output({.path = folder / "missing" / "played.wav"});
  output({.path = folder});
  EXPECT_THAT(fields(),
              ElementsAre("audio_devices[0].streams[0].source.path", "audio_devices[0].streams[1].sink.path",
                          "audio_devices[0].streams[2].sink.path", "audio_devices[0].streams[3].sink.path"));
  device.streams.assign(17, VirtioSoundDeviceOutputStreamConfiguration{});
  configuration.audio_devices.assign(5, device);
  EXPECT_EQ(fields().size(), 6u);
}

TEST_F(Validate, TheHostsSoundNeedsPipeWire) {
  ::setenv("PIPEWIRE_RUNTIME_DIR", folder.c_str(), 1);
  configuration.audio_devices = {VirtioSoundDeviceConfiguration{
      .streams = {VirtioSoundDeviceOutputStreamConfiguration{.sink = HostAudioOutputStreamSink{}},
                  VirtioSoundDeviceInputStreamConfiguration{.source = HostAudioInputStreamSource{}}}}};
  const auto problems = configuration.validate();
  ::unsetenv("PIPEWIRE_RUNTIME_DIR");
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].code, ErrorCode::not_supported);
  EXPECT_EQ(problems[0].where, "audio_devices[0].streams[0].sink");
  EXPECT_EQ(problems[1].where, "audio_devices[0].streams[1].source");
  EXPECT_THAT(problems[0].what, testing::HasSubstr((folder / "pipewire-0").string()));
  EXPECT_THAT(problems[0].hint, testing::HasSubstr("use a file or no sink"));
}

TEST_F(Validate, Usb) {
  XHCIControllerConfiguration controller;
  USBMassStorageDeviceConfiguration stick{.attachment = disk().attachment};
  controller.usb_devices = {stick};
  configuration.usb_controllers = {controller};
  configuration.storage_devices = {};
  configuration.keyboards = {USBKeyboardConfiguration{}};
  configuration.pointing_devices = {USBScreenCoordinatePointingDeviceConfiguration{}};
  EXPECT_THAT(messages(), IsEmpty());
  configuration.storage_devices = {stick};  // One image for two writers, and one uuid.
  EXPECT_THAT(fields(), testing::UnorderedElementsAre("usb_controllers[0].usb_devices[0].attachment.path",
                                                      "usb_controllers[0].usb_devices[0].uuid"));
  configuration.storage_devices = {};
  configuration.usb_controllers.resize(5);
  EXPECT_THAT(fields(), ElementsAre("usb_controllers"));
  configuration.usb_controllers.resize(1);
  configuration.keyboards.resize(8, USBKeyboardConfiguration{});
  EXPECT_THAT(fields(), ElementsAre("keyboards"));
  configuration.keyboards = {};
  std::get<DiskImageStorageDeviceAttachment>(stick.attachment).read_only = true;
  controller.usb_devices = {};
  for (int count = 0; count < 9; ++count) {
    stick.uuid = UUID();
    controller.usb_devices.emplace_back(stick);
  }
  configuration.usb_controllers = {controller};
  EXPECT_THAT(fields(), ElementsAre("usb_controllers[0].usb_devices"));
}

TEST_F(Validate, Label) {
  configuration.label = "";
  EXPECT_THAT(fields(), ElementsAre("label"));
  configuration.label = " \t";
  EXPECT_THAT(fields(), ElementsAre("label"));
  configuration.label = std::string(65, 'a');
  EXPECT_THAT(fields(), ElementsAre("label"));
  configuration.label = "\xff";
  EXPECT_THAT(fields(), ElementsAre("label"));
  configuration.label = std::string(64, 'a');
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, ProcessorsAndMemory) {
  configuration.cpu_count = 0;
  configuration.cpu_model = "x86-64-v9";
  configuration.memory_size = 0;
  EXPECT_THAT(fields(), ElementsAre("cpu_count", "cpu_model", "memory_size"));
  configuration.cpu_model = "x86-64-v2,+aes,-popcnt";
  configuration.cpu_count = VirtualMachineConfiguration::maximum_allowed_cpu_count() + 1;
  configuration.memory_size = VirtualMachineConfiguration::maximum_allowed_memory_size() + 1_MiB;
  EXPECT_THAT(fields(), ElementsAre("cpu_count", "memory_size"));
  configuration.cpu_count = VirtualMachineConfiguration::maximum_allowed_cpu_count();
  configuration.memory_size = 64_MiB + 4_KiB;
  EXPECT_THAT(messages(),
              ElementsAre("memory_size: 67112960 bytes are no multiple of 1 MiB (64 MiB would be)"));
}

TEST_F(Validate, BootLoader) {
  boot_loader().kernel = "";
  EXPECT_THAT(fields(), ElementsAre("boot_loader.kernel"));
  boot_loader().kernel = folder;
  EXPECT_THAT(fields(), ElementsAre("boot_loader.kernel"));
  boot_loader().kernel = folder / "missing";
  boot_loader().initial_ramdisk = folder / "missing";
  EXPECT_THAT(fields(), ElementsAre("boot_loader.kernel", "boot_loader.initial_ramdisk"));
  configuration.boot_loader.reset();
  EXPECT_THAT(
      messages(),
      ElementsAre("boot_loader: there is none (set a LinuxBootLoader with a kernel, or an EFIBootLoader)"));
}

TEST_F(Validate, EfiBootLoader) {
  const auto firmware = folder / "CODE.fd", store = folder / "variables.fd";
  configuration.boot_loader = EFIBootLoader{.variable_store = {store}, .firmware = firmware};
  configuration.memory_size = 64_MiB;
  EXPECT_THAT(fields(),
              ElementsAre("boot_loader.firmware", "memory_size", "boot_loader.variable_store.path"));
  std::ofstream(firmware) << "code";
  std::ofstream(store) << "variables";
  configuration.memory_size = 128_MiB;
  EXPECT_THAT(messages(), IsEmpty());
  std::get<EFIBootLoader>(*configuration.boot_loader).variable_store = {};
  EXPECT_THAT(messages(), IsEmpty()) << "variables in memory";
}

TEST_F(Validate, EmptyKernel) {
  std::filesystem::resize_file(folder / "kernel", 0);
  EXPECT_THAT(fields(), ElementsAre("boot_loader.kernel"));
}

TEST_F(Validate, CommandLine) {
  boot_loader().command_line = std::string(2047, 'a');
  EXPECT_THAT(fields(), IsEmpty());
  boot_loader().command_line = std::string(2048, 'a');
  EXPECT_THAT(fields(), ElementsAre("boot_loader.command_line"));
  boot_loader().command_line = std::string("a\0b", 3);
  EXPECT_THAT(fields(), ElementsAre("boot_loader.command_line"));
}

TEST_F(Validate, BlockDevice) {
  first_disk().block_device_identifier = "twenty-bytes-long-id";
  first_disk().queue_count = 64;
  EXPECT_THAT(fields(), IsEmpty());
  first_disk().block_device_identifier = "twenty-bytes-long-id+";
  first_disk().queue_count = 65;
  EXPECT_THAT(fields(),
              ElementsAre("storage_devices[0].block_device_identifier", "storage_devices[0].queue_count"));
  first_disk().queue_count = 1;
  for (const char* wrong : {"a b", "a/b", "ü", "\n"}) {
    first_disk().block_device_identifier = wrong;
    EXPECT_THAT(fields(), ElementsAre("storage_devices[0].block_device_identifier")) << wrong;
  }
}

TEST_F(Validate, DiskImagePath) {
  for (const auto& path :
       {std::filesystem::path(), folder, folder / "missing", std::filesystem::path("/dev/null")}) {
    first_image().path = path;
    EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.path")) << path;
  }
}

TEST_F(Validate, DiskImageLength) {
  std::filesystem::resize_file(folder / "disk", 513);
  ASSERT_THAT(fields(), ElementsAre("storage_devices[0].attachment.path"));
  EXPECT_EQ(configuration.validate()[0].code, ErrorCode::invalid_disk_image);
  std::filesystem::resize_file(folder / "disk", 0);
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.path"));
  std::filesystem::resize_file(folder / "disk", 512);
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, DiskImageFormat) {
  std::fstream(folder / "disk") << "KDMV";
  EXPECT_THAT(messages(), ElementsAre("storage_devices[0].attachment.path: " + (folder / "disk").string() +
                                      " is in the format VMDK (convert it to a raw or qcow2 image)"));
  // Where it is said, it is the guest's.
  first_image().format = DiskImageFormat::raw;
  EXPECT_THAT(fields(), IsEmpty());
  first_image().format = DiskImageFormat::qcow2;
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.path"));
  std::fstream(folder / "disk") << "QFI\xfb";
  EXPECT_THAT(fields(), IsEmpty());
  first_image().format = DiskImageFormat::automatic;
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, DiskImageLayers) {
  std::ofstream(folder / "base") << std::string(512, 'x');
  std::ofstream(folder / "middle") << "QFI\xfb" << std::string(508, 'x');
  first_image().base_layers = {{.path = folder / "base"}};
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.base_layers"));
  std::fstream(folder / "disk") << "QFI\xfb";
  EXPECT_THAT(fields(), IsEmpty());
  first_image().base_layers = {{.path = folder / "middle"}, {.path = folder / "base"}};
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.base_layers[1].path"));
  first_image().base_layers = {{.path = folder / "base"}, {.path = folder / "middle"}};
  EXPECT_THAT(fields(), IsEmpty());
  first_image().base_layers = {{.path = folder / "missing"}, {.path = folder / "disk"}};
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.base_layers[0].path",
                                    "storage_devices[0].attachment.base_layers[1].path"));
}

TEST_F(Validate, DiskImageCaches) {
  std::ofstream(folder / "base") << std::string(512, 'x');
  std::ofstream(folder / "disk") << "QFI\xfb" << std::string(508, 'x');
  const std::string where = "storage_devices[0].attachment.base_layers";
  const DiskImageLayer base{.path = folder / "base"}, cache{.path = folder / "cache", .is_cache = true};
  first_image().base_layers = {base, cache};
  EXPECT_THAT(fields(), IsEmpty());
  first_image().base_layers = {cache, base};
  EXPECT_THAT(fields(), ElementsAre(where + "[0].is_cache", where + "[1].path"));
  first_image().base_layers = {base, cache, {.path = folder / "other", .is_cache = true}};
  EXPECT_THAT(fields(), ElementsAre(where + "[2].is_cache"));
  first_image().base_layers = {base, {.path = folder, .format = DiskImageFormat::raw, .is_cache = true}};
  EXPECT_THAT(fields(), ElementsAre(where + "[1].format", where + "[1].path"));
  first_image().base_layers = {base, {.path = folder / "disk", .is_cache = true}};
  EXPECT_THAT(fields(), ElementsAre(where + "[1].path"));
}

TEST_F(Validate, DiskImageTwice) {
  configuration.storage_devices.push_back(disk());
  EXPECT_THAT(fields(), ElementsAre("storage_devices[1].attachment.path"));
  first_image().read_only = true;
  EXPECT_THAT(fields(), ElementsAre("storage_devices[1].attachment.path"));
  configuration.storage_devices[1] = configuration.storage_devices[0];
  EXPECT_THAT(fields(), IsEmpty());
  // Another name of the same file does not hide it.
  std::filesystem::create_hard_link(folder / "disk", folder / "link");
  first_image().path = folder / "link";
  first_image().read_only = false;
  EXPECT_THAT(fields(), ElementsAre("storage_devices[1].attachment.path"));
}

TEST_F(Validate, DiskImageRights) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everything";
  std::filesystem::permissions(folder / "disk", std::filesystem::perms::owner_read);
  EXPECT_THAT(fields(), ElementsAre("storage_devices[0].attachment.path"));
  first_image().read_only = true;
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, NetworkDevice) {
  first_network().attachment.reset();
  EXPECT_THAT(fields(), ElementsAre("network_devices[0].attachment"));
  first_network() = {.mac_address = MACAddress(), .attachment = NATNetworkDeviceAttachment{}};
  EXPECT_THAT(fields(), ElementsAre("network_devices[0].mac_address"));
  first_network().mac_address = MACAddress({1, 0, 0, 0, 0, 0});
  EXPECT_THAT(fields(), ElementsAre("network_devices[0].mac_address"));
  first_network().mac_address = MACAddress({2, 0, 0, 0, 0, 0});
  configuration.network_devices.push_back(first_network());
  EXPECT_THAT(fields(), ElementsAre("network_devices[1].mac_address"));
}

TEST_F(Validate, NetworkFileHandles) {
  int pair[2], streams[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams), 0);
  const UniqueFd ends[] = {UniqueFd(pair[0]), UniqueFd(pair[1]), UniqueFd(streams[0]), UniqueFd(streams[1])};
  const UniqueFd lonely(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string where = "network_devices[0].attachment.";
  for (const uint32_t unit : {1500, 65535}) {
    first_network().attachment =
        FileHandleNetworkDeviceAttachment{.file_handle = pair[0], .maximum_transmission_unit = unit};
    EXPECT_THAT(fields(), IsEmpty());
  }
  for (const uint32_t unit : {0, 1499, 65536}) {
    first_network().attachment =
        FileHandleNetworkDeviceAttachment{.file_handle = pair[0], .maximum_transmission_unit = unit};
    EXPECT_THAT(fields(), ElementsAre(where + "maximum_transmission_unit"));
  }
  for (const int handle : {-1, 12345, streams[0], lonely.get()}) {
    first_network().attachment = FileHandleNetworkDeviceAttachment{.file_handle = handle};
    EXPECT_THAT(fields(), ElementsAre(where + "file_handle"));
    first_network().attachment = TapNetworkDeviceAttachment{.interface_name = "lo", .file_handle = handle};
    EXPECT_THAT(fields(), handle == -1 ? testing::Matcher<std::vector<std::string>>(IsEmpty())
                                       : ElementsAre(where + "file_handle"));
  }
  first_network().attachment = TapNetworkDeviceAttachment{.file_handle = pair[0]};
  EXPECT_THAT(fields(), ElementsAre(where + "file_handle"));
  first_network().attachment = TapNetworkDeviceAttachment{};
  EXPECT_THAT(fields(), ElementsAre("network_devices[0].attachment"));
  first_network().attachment = TapNetworkDeviceAttachment{.interface_name = "nosuch0"};
  EXPECT_THAT(fields(), ElementsAre(where + "interface_name"));
}

TEST_F(Validate, SharedNetworksAndPasst) {
  const std::string where = "network_devices[0].attachment.";
  SharedNetworkDeviceAttachment network{.network_name = "lab-1_x", .host_name = "web-1"};
  first_network().attachment = network;
  EXPECT_THAT(fields(), IsEmpty());
  for (const char* name : {"", "a b", "a/b", "..", "123456789012345678901234567890123"}) {
    network.network_name = name;
    first_network().attachment = network;
    EXPECT_THAT(fields(), ElementsAre(where + "network_name")) << name;
  }
  network.network_name = "lab";
  for (const char* name : {"-", "a.b", "a_b", "b-"}) {
    network.host_name = name;
    first_network().attachment = network;
    EXPECT_THAT(fields(), ElementsAre(where + "host_name")) << name;
  }
  first_network().attachment = PasstNetworkDeviceAttachment{
      .program = "/nosuch", .port_forwards = {{.guest_address = "10.0.0.1", .guest_port = 1}}};
  EXPECT_THAT(fields(), ElementsAre(where + "program", where + "port_forwards[0].host_port",
                                    where + "port_forwards[0].guest_address"));
  first_network().attachment = PasstNetworkDeviceAttachment{
      .program = "/bin/sh", .port_forwards = {{.host_port = 8080, .guest_port = 80}}};
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, PrivateNetworks) {
  const std::string where = "network_devices[0].attachment.network.";
  const auto problems = [&](const PrivateNetwork& network, bool shared = false) {
    if (shared) {
      first_network().attachment = SharedNetworkDeviceAttachment{.network_name = "lab", .network = network};
    } else {
      first_network().attachment = NATNetworkDeviceAttachment{.network = network};
    }
    return fields();
  };
  EXPECT_THAT(problems({.ipv4_subnet = "10.9.0.0/24",
                        .ipv6_prefix = "fd00:9::/64",
                        .ipv4_address = "10.9.0.1",
                        .maximum_transmission_unit = 1280,
                        .external_interface = "lo"}),
              IsEmpty());
  for (const char* subnet :
       {"10.9.0.1/24", "10.9.0.0/7", "10.9.0.0/29", "127.0.0.0/8", "224.0.0.0/8", "fd00::/64", "x"})
    EXPECT_THAT(problems({.ipv4_subnet = subnet}), ElementsAre(where + "ipv4_subnet")) << subnet;
  for (const char* prefix : {"fd00::/48", "fe80::/64", "ff02::/64", "::/64", "10.0.0.0/24", "x"})
    EXPECT_THAT(problems({.ipv6_prefix = prefix}), ElementsAre(where + "ipv6_prefix")) << prefix;
  for (const char* address :
       {"10.0.2.0", "10.0.2.2", "10.0.2.3", "10.0.2.255", "10.0.3.1", "::1", "10.0.2.4/32", "x"})
    EXPECT_THAT(problems({.ipv4_address = address}), ElementsAre(where + "ipv4_address")) << address;
  EXPECT_THAT(problems({.ipv4_address = "10.0.3.1"}, true), IsEmpty()) << "the network is not known yet";
  EXPECT_THAT(problems({.ipv4_address = "x"}, true), ElementsAre(where + "ipv4_address"));
  for (const uint32_t unit : {1279, 65521})
    EXPECT_THAT(problems({.maximum_transmission_unit = unit}),
                ElementsAre(where + "maximum_transmission_unit"));
  EXPECT_THAT(problems({.external_interface = "nosuch0"}), ElementsAre(where + "external_interface"));
}

TEST_F(Validate, NetworkRules) {
  const std::string where = "network_devices[0].rules[0].";
  const auto problems = [&](const NetworkRule& rule) {
    first_network().rules = {rule};
    return fields();
  };
  const auto tcp = TransportProtocol::tcp;
  for (const NetworkRule& right :
       {NetworkRule{}, NetworkRule{.destination = "10.0.0.0/8"}, NetworkRule{.destination = "fe80::1"},
        NetworkRule{.protocol = tcp, .first_port = 80},
        NetworkRule{.protocol = tcp, .first_port = 1, .last_port = 1}})
    EXPECT_THAT(problems(right), IsEmpty());
  EXPECT_THAT(problems({.destination = "10.0.0.1/8"}), ElementsAre(where + "destination"));
  EXPECT_THAT(problems({.destination = "any"}), ElementsAre(where + "destination"));
  EXPECT_THAT(problems({.first_port = 80}), ElementsAre(where + "protocol"));
  EXPECT_THAT(problems({.protocol = tcp, .last_port = 80}), ElementsAre(where + "first_port"));
  EXPECT_THAT(problems({.protocol = tcp, .first_port = 81, .last_port = 80}),
              ElementsAre(where + "first_port"));
}

TEST_F(Validate, PortForwards) {
  forwards() = {{.host_port = 80, .guest_port = 80}, {.host_port = 80, .guest_port = 81}};
  EXPECT_THAT(fields(), ElementsAre("network_devices[0].attachment.port_forwards[1].host_port"));
  forwards()[1].protocol = TransportProtocol::udp;
  EXPECT_THAT(fields(), IsEmpty());
  forwards() = {{.guest_port = 80}, {.guest_port = 81}};
  EXPECT_THAT(fields(), IsEmpty());
  forwards() = {{.host_address = "localhost", .guest_address = "guest"}};
  const std::string where = "network_devices[0].attachment.port_forwards[0].";
  EXPECT_THAT(fields(), ElementsAre(where + "host_address", where + "guest_address", where + "guest_port"));
  forwards() = {{.host_address = "::1", .guest_address = "10.0.2.15", .guest_port = 1}};
  EXPECT_THAT(fields(), IsEmpty());
  PortForward datagrams{.protocol = TransportProtocol::udp, .host_address = "::1", .guest_port = 1};
  for (const char* guest : {"", "::"}) {
    datagrams.guest_address = guest;
    forwards() = {datagrams};
    EXPECT_THAT(fields(), ElementsAre(where + "guest_address"));
  }
  datagrams.guest_address = "fec0::15";
  forwards() = {datagrams};
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, SerialFileHandles) {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  set_serial(FileHandleSerialPortAttachment{.reading = null, .writing = null});
  EXPECT_THAT(fields(), ElementsAre("serial_ports[0].attachment.writing"));
  ::close(null);
  EXPECT_THAT(fields(),
              ElementsAre("serial_ports[0].attachment.reading", "serial_ports[0].attachment.writing"));
  set_serial(FileHandleSerialPortAttachment{});
  EXPECT_THAT(fields(), IsEmpty());
}

TEST_F(Validate, SerialFile) {
  set_serial(FileSerialPortAttachment{});
  EXPECT_THAT(fields(), ElementsAre("serial_ports[0].attachment.path"));
  set_serial(FileSerialPortAttachment{.path = folder});
  EXPECT_THAT(fields(), ElementsAre("serial_ports[0].attachment.path"));
  set_serial(FileSerialPortAttachment{.path = folder / "missing/log"});
  EXPECT_THAT(fields(), ElementsAre("serial_ports[0].attachment.path"));
  set_serial(FileSerialPortAttachment{.path = folder / "log"});
  EXPECT_THAT(fields(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder / "log")) << "validate() must change nothing";
}

TEST_F(Validate, NumberOfUarts) {
  configuration.serial_ports.assign(4, UART16550SerialPortConfiguration{});
  configuration.serial_ports.push_back(VirtioConsoleDeviceSerialPortConfiguration{});
  EXPECT_THAT(fields(), IsEmpty());
  configuration.serial_ports.push_back(UART16550SerialPortConfiguration{});
  EXPECT_THAT(fields(), ElementsAre("serial_ports"));
}

TEST_F(Validate, NumberOfBalloons) {
  configuration.memory_balloon_devices.emplace_back();
  EXPECT_THAT(fields(), ElementsAre("memory_balloon_devices"));
}

TEST_F(Validate, Graphics) {
  VirtioGraphicsDeviceConfiguration device;
  const auto with = [&] { configuration.graphics_devices = {device}; };
  with();
  EXPECT_THAT(fields(), IsEmpty());
  device.scanouts = {{.width = 64, .height = 4095, .pixels_per_inch = 20},
                     {.width = 63, .height = 800},
                     {.width = 1280, .height = 4096},
                     {.pixels_per_inch = 0}};
  with();
  EXPECT_THAT(fields(),
              ElementsAre("graphics_devices[0].scanouts[1].width", "graphics_devices[0].scanouts[2].height",
                          "graphics_devices[0].scanouts[3].pixels_per_inch"));
  for (const size_t count : {0, 17}) {
    device.scanouts.assign(count, {});
    with();
    EXPECT_THAT(fields(), ElementsAre("graphics_devices[0].scanouts"));
  }
  configuration.graphics_devices.assign(2, VirtioGraphicsDeviceConfiguration{});
  EXPECT_THAT(fields(), ElementsAre("graphics_devices"));
}

TEST_F(Validate, SharedFolders) {
  auto& devices = configuration.directory_sharing_devices;
  VirtioFileSystemDeviceConfiguration good{
      .tag = std::string(36, 't'), .share = SingleDirectoryShare{{.path = folder}}, .mount_point = "/mnt/a"};
  devices = {good, VirtioFileSystemDeviceConfiguration{.tag = "ü"}};
  EXPECT_THAT(fields(), IsEmpty());
  devices = {good, good, VirtioFileSystemDeviceConfiguration{}};
  EXPECT_THAT(fields(), ElementsAre("directory_sharing_devices[1].tag", "directory_sharing_devices[2].tag"));
  for (const std::string& tag : {std::string(37, 't'), std::string("a\nb"), std::string("\xff")}) {
    devices = {VirtioFileSystemDeviceConfiguration{.tag = tag}};
    EXPECT_THAT(fields(), ElementsAre("directory_sharing_devices[0].tag"));
  }
  for (const char* place : {"mnt", "/", "/a b", "/a:b", "/a\nb"}) {
    devices = {VirtioFileSystemDeviceConfiguration{.tag = "t", .mount_point = place}};
    EXPECT_THAT(fields(), ElementsAre("directory_sharing_devices[0].mount_point")) << place;
  }
  const auto with_window = [](const char* tag, uint64_t size) {
    return VirtioFileSystemDeviceConfiguration{.tag = tag, .dax_window_size = size};
  };
  devices = {with_window("a", 2_MiB), with_window("b", 16_GiB - 2_MiB)};
  EXPECT_THAT(fields(), IsEmpty());
  devices = {with_window("a", 1_MiB), with_window("b", 2_MiB), with_window("c", 16_GiB)};
  EXPECT_THAT(fields(), ElementsAre("directory_sharing_devices[0].dax_window_size",
                                    "directory_sharing_devices[2].dax_window_size"));
  devices = {VirtioFileSystemDeviceConfiguration{
      .tag = "t",
      .share = MultipleDirectoryShare{{{"a", {.path = folder}},
                                       {"b/c", {.path = folder}},
                                       {"d", {.path = folder / "disk"}},
                                       {"e", {.path = folder / "missing"}}}}}};
  EXPECT_THAT(fields(), ElementsAre("directory_sharing_devices[0].share.directories.b/c",
                                    "directory_sharing_devices[0].share.directories.d.path",
                                    "directory_sharing_devices[0].share.directories.e.path"));
  MappedOwnership map{.users = {{0, 0, 10}, {100, 9, 1}, {UINT32_MAX - 1, 500, 3}}};
  devices = {VirtioFileSystemDeviceConfiguration{
      .tag = "t", .share = SingleDirectoryShare{{.path = folder, .ownership = map}}}};
  EXPECT_THAT(fields(), ElementsAre("directory_sharing_devices[0].share.directory.ownership.users[1]",
                                    "directory_sharing_devices[0].share.directory.ownership.users[2].count",
                                    "directory_sharing_devices[0].share.directory.ownership.groups"));
}

TEST_F(Validate, Sockets) {
  VirtioSocketDeviceConfiguration device;
  const auto with = [&] { configuration.socket_devices = {device}; };
  constexpr auto kToGuest = SocketBridgeDirection::to_guest;
  device.bridges = {{.port = 1, .path = "/nowhere/yet"},
                    {.port = 0xfffffffe, .path = "/nowhere/yet"},
                    {.direction = kToGuest, .port = 1, .path = folder / "a"},
                    {.direction = kToGuest, .port = 1, .path = folder / "b"}};
  for (const uint32_t cid : {3u, 0xfffffffeu}) {
    device.guest_cid = cid;
    with();
    EXPECT_THAT(fields(), IsEmpty());
  }
  for (const uint32_t cid : {0u, 2u, 0xffffffffu}) {
    device.guest_cid = cid;
    with();
    EXPECT_THAT(fields(), ElementsAre("socket_devices[0].guest_cid"));
  }
  device = {.bridges = {{.path = "/a"},
                        {.port = 0xffffffff, .path = "/a"},
                        {.port = 9, .path = "/a"},
                        {.port = 9, .path = "/b"},
                        {.port = 10},
                        {.port = 11, .path = "/" + std::string(107, 'x')},
                        {.direction = kToGuest, .port = 1, .path = folder / "a"},
                        {.direction = kToGuest, .port = 2, .path = folder / "." / "a"},
                        {.direction = kToGuest, .port = 3, .path = folder / "disk"},
                        {.direction = kToGuest, .port = 4, .path = folder / "missing" / "a"}}};
  with();
  EXPECT_THAT(fields(),
              ElementsAre("socket_devices[0].bridges[0].port", "socket_devices[0].bridges[1].port",
                          "socket_devices[0].bridges[3].port", "socket_devices[0].bridges[4].path",
                          "socket_devices[0].bridges[5].path", "socket_devices[0].bridges[7].path",
                          "socket_devices[0].bridges[8].path", "socket_devices[0].bridges[9].path"));
  configuration.socket_devices.assign(2, VirtioSocketDeviceConfiguration{});
  EXPECT_THAT(fields(), ElementsAre("socket_devices"));
}

TEST(MultipleDirectoryShare, NamesAreMadeValid) {
  const auto canonical = MultipleDirectoryShare::canonicalized_name;
  EXPECT_EQ(canonical("plain"), "plain");
  EXPECT_EQ(canonical("a/b\nc"), "a-bc");
  EXPECT_EQ(canonical(".."), std::nullopt);
  EXPECT_EQ(canonical("\n"), std::nullopt);
  EXPECT_EQ(canonical(std::string(254, 'x') + "ü"), std::string(254, 'x'));
  for (const char* name : {"plain", "ü", "..."}) EXPECT_TRUE(MultipleDirectoryShare::validate_name(name));
  for (const char* name : {"", ".", "..", "a/b", "\x7f", "\xff"})
    EXPECT_FALSE(MultipleDirectoryShare::validate_name(name));
}

TEST_F(Validate, Hypervisor) {
  configuration.hypervisor = HypervisorChoice::soft;
  EXPECT_THAT(fields(), IsEmpty());
  configuration.hypervisor = HypervisorChoice::kvm;
  if (::access("/dev/kvm", R_OK | W_OK) == 0) {
    EXPECT_THAT(fields(), IsEmpty());
  } else {
    EXPECT_THAT(fields(), ElementsAre("hypervisor"));
  }
}

TEST_F(Validate, ListsEverything) {
  configuration.cpu_count = 0;
  boot_loader().kernel = "/missing";
  first_image().path = "/missing";
  first_network().mac_address = MACAddress();
  EXPECT_THAT(fields(), ElementsAre("cpu_count", "boot_loader.kernel", "storage_devices[0].attachment.path",
                                    "network_devices[0].mac_address"));
}

}  // namespace
}  // namespace alcove
