// The host's sound by PipeWire.
#pragma once

#include <alcove/error.h>

#include <memory>
#include <string>

#include "audio/endpoint.h"
#include "support/unique_fd.h"

namespace alcove::audio {

// A connection to the sound server. Its ends' time is the server's; while that does nothing with them (it has
// ended, or has nothing to play to) they let their caller's pass, and what is played is lost.
class PipeWire {
 public:
  // `socket` is connected to the server; `name` is shown to the user. Waits for the server's greeting. Errors
  // are of `where`.
  static Result<std::shared_ptr<PipeWire>> connect(UniqueFd socket, const std::string& name,
                                                   const std::string& where);
  virtual ~PipeWire() = default;
  // They keep the connection.
  virtual std::unique_ptr<Output> make_output() = 0;
  virtual std::unique_ptr<Input> make_input() = 0;
};

}  // namespace alcove::audio
