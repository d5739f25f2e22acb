#include "client/sound_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "config/pipewire_socket.h"
#include "support/unix_address.h"

namespace alcove::client {

namespace {

Result<UniqueFd> open_file(const std::filesystem::path& path, int flags, const std::string& where) {
  // Without waiting, should it be a pipe; it is refused then.
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0)
    return fail(ErrorCode::invalid_virtual_machine_configuration, where,
                fmt::format("can't open {}: {}", path.string(), std::strerror(errno)));
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::invalid_virtual_machine_configuration, where,
                fmt::format("{} is not a regular file", path.string()), "WAV files are");
  return file;
}

Result<UniqueFd> connect_to_pipewire(const std::string& where) {
  const std::filesystem::path path = config::pipewire_socket();
  const auto refuse = [&](const char* why) {
    return fail(ErrorCode::not_supported, where,
                fmt::format("PipeWire can't be reached at {}: {}", path.string(), why),
                "start it (systemctl --user start pipewire), or use a file, or no sink or source");
  };
  const auto address = UnixAddress::of(path);
  if (!address) return refuse("the path is too long");
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || !address->connect(socket.get())) return refuse(std::strerror(errno));
  return socket;
}

class Opener {
 public:
  explicit Opener(machine::Descriptors& descriptors) : descriptors_(descriptors) {}

  Result<> open(const VirtioSoundDeviceOutputStreamConfiguration& stream, const std::string& device,
                const std::string& where) {
    if (!stream.sink) return {};
    const auto* file = std::get_if<FileAudioOutputStreamSink>(&*stream.sink);
    if (!file) return open_host(device, where + ".sink");
    return add(where + ".sink", open_file(file->path, O_WRONLY | O_CREAT, where + ".sink.path"));
  }
  Result<> open(const VirtioSoundDeviceInputStreamConfiguration& stream, const std::string& device,
                const std::string& where) {
    if (!stream.source) return {};
    const auto* file = std::get_if<FileAudioInputStreamSource>(&*stream.source);
    if (!file) return open_host(device, where + ".source");
    return add(where + ".source", open_file(file->path, O_RDONLY, where + ".source.path"));
  }

 private:
  Result<> open_host(const std::string& device, const std::string& where) {
    const std::string name = device + ".pipewire";
    return descriptors_.contains(name) ? Result<>() : add(name, connect_to_pipewire(where));
  }
  Result<> add(const std::string& name, Result<UniqueFd> descriptor) {
    if (!descriptor) return std::unexpected(std::move(descriptor.error()));
    descriptors_.add(name, *std::move(descriptor));
    return {};
  }

  machine::Descriptors& descriptors_;
};

}  // namespace

Result<> open_sound_files(const VirtualMachineConfiguration& configuration,
                          machine::Descriptors& descriptors) {
  Opener opener(descriptors);
  for (size_t device = 0; device < configuration.audio_devices.size(); ++device) {
    const std::string field = fmt::format("audio_devices[{}]", device);
    const auto& streams =
        std::get<VirtioSoundDeviceConfiguration>(configuration.audio_devices[device]).streams;
    for (size_t index = 0; index < streams.size(); ++index) {
      const std::string where = fmt::format("{}.streams[{}]", field, index);
      auto opened =
          std::visit([&](const auto& stream) { return opener.open(stream, field, where); }, streams[index]);
      if (!opened) return opened;
    }
  }
  return {};
}

}  // namespace alcove::client
