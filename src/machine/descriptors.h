// The files that a configuration refers to, already open. The application opens them and passes them to the
// machine's process, which opens none itself.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::machine {

// By the path of their field:
//
//   boot_loader.kernel, boot_loader.initial_ramdisk   regular files, for reading, at offset 0
//   boot_loader.firmware              EFI firmware's code: a regular file, for reading
//   boot_loader.variable_store        its variables: a file of its own, O_RDWR, locked
//   boot_loader.firmware_log          takes what firmware says for its developers; may be missing
//   storage_devices[N].attachment     the image: O_RDWR, or O_RDONLY if read_only; O_DIRECT if uncached;
//   locked storage_devices[N].attachment.layers[L]   the L-th image below it, from 1: O_RDONLY
//   usb_controllers[C].usb_devices[N].attachment   the same
//   serial_ports[N].attachment.reading, .writing      what serves the port: a pipe, terminal, socket
//   or file.
//                                     Missing where the port has no attachment or that direction no handle.
//                                     O_NONBLOCK may be set or not, and may belong to others: leave it as it
//                                     is
//   console_devices[N].ports[M].attachment.reading, .writing   the same
//   network_devices[N].attachment.file_handle   a connected datagram socket, or a tap interface
//   network_devices[N].attachment.socket   a connection to passt, or to a shared network that was joined,
//   whose
//                                          answer can be read
//   directory_sharing_devices[N].share.directory, .share.directories.NAME   the folder: O_PATH | O_DIRECTORY
//   audio_devices[N].streams[M].sink, .source   the WAV file of a stream that has one: for writing, at any
//   size, or for reading
//   audio_devices[N].pipewire         a socket connected with PipeWire, where a stream is the host's
//   graphics_devices[N].scanouts[M].frames   a FrameMemory (display/frame_memory.h) for what the display
//   shows graphics_devices[N].scanouts[M].changed  an eventfd, O_NONBLOCK: written when there is something
//   new serial_ports[N].log               a LogRing (support/log_ring.h) for the port's output hypervisor.kvm
//   /dev/kvm; missing where it can't be opened or the choice is `soft`
inline std::string layer_path(const std::string& attachment, size_t layer) {
  return layer == 0 ? attachment : attachment + ".layers[" + std::to_string(layer) + "]";
}

class Descriptors {
 public:
  void add(std::string path, UniqueFd descriptor) {
    descriptors_.insert_or_assign(std::move(path), std::move(descriptor));
  }
  // Gives the descriptor away; none if there is none, or it was taken already.
  UniqueFd take(std::string_view path) {
    auto found = descriptors_.find(path);
    if (found == descriptors_.end()) return UniqueFd();
    UniqueFd descriptor = std::move(found->second);
    descriptors_.erase(found);
    return descriptor;
  }
  // An image and those below it, from the top down.
  std::vector<UniqueFd> take_layers(const std::string& attachment) {
    std::vector<UniqueFd> layers;
    while (UniqueFd layer = take(layer_path(attachment, layers.size()))) layers.push_back(std::move(layer));
    return layers;
  }
  bool contains(std::string_view path) const { return descriptors_.contains(path); }
  size_t size() const { return descriptors_.size(); }
  // Those not taken yet, in the order of their paths.
  const std::map<std::string, UniqueFd, std::less<>>& all() const { return descriptors_; }
  std::map<std::string, UniqueFd, std::less<>> take_all() && { return std::move(descriptors_); }

 private:
  std::map<std::string, UniqueFd, std::less<>> descriptors_;
};

}  // namespace alcove::machine
