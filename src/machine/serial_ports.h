// The configured serial ports' host side.
#pragma once

#include <alcove/serial_port.h>

#include <memory>
#include <string>
#include <vector>

#include "exec/event_loop.h"
#include "machine/descriptors.h"
#include "serial/port.h"

namespace alcove::machine {

class SerialPorts {
 public:
  // One for each configured port, attached to its descriptors. The loop must run as long as they live.
  static Result<std::unique_ptr<SerialPorts>> create(size_t count, Descriptors& descriptors,
                                                     exec::EventLoop& loop);

  serial::Port& port(size_t index) { return *ports_[index]; }
  std::string log(size_t index) const;

 private:
  std::vector<std::unique_ptr<serial::Port>> ports_;
};

}  // namespace alcove::machine
