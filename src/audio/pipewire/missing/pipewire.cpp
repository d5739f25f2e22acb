// In place of PipeWire, where there is none to build with.
#include "audio/pipewire/pipewire.h"

namespace alcove::audio {

Result<std::shared_ptr<PipeWire>> PipeWire::connect(UniqueFd, const std::string&, const std::string& where) {
  return fail(ErrorCode::not_supported, where, "this build of Alcove has no PipeWire",
              "install libpipewire-0.3-dev and build again, or use a file, or no sink or source");
}

}  // namespace alcove::audio
