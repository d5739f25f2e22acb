#include "machine/serial_ports.h"

#include <fmt/format.h>

namespace alcove::machine {

Result<std::unique_ptr<SerialPorts>> SerialPorts::create(size_t count, Descriptors& descriptors,
                                                         exec::EventLoop& loop) {
  auto result = std::make_unique<SerialPorts>();
  for (size_t index = 0; index < count; ++index) {
    const std::string field = fmt::format("serial_ports[{}]", index);
    UniqueFd shared = descriptors.take(field + ".log");
    Result<LogRing> log = shared ? LogRing::open(std::move(shared)) : LogRing::create();
    if (!log) return std::unexpected(log.error());
    auto port = std::make_unique<serial::Port>(loop, std::move(*log));
    serial::Attachment attachment{.reading = descriptors.take(field + ".attachment.reading"),
                                  .writing = descriptors.take(field + ".attachment.writing")};
    if (attachment.reading || attachment.writing) port->attach(std::move(attachment));
    result->ports_.push_back(std::move(port));
  }
  return result;
}

std::string SerialPorts::log(size_t index) const {
  return index < ports_.size() ? ports_[index]->log().read() : std::string();
}

}  // namespace alcove::machine
