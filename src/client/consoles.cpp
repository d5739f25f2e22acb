#include "client/consoles.h"

#include <utility>

#include "client/named_descriptors.h"
#include "config/validate.h"
#include "control/messages.h"

namespace alcove::client {

using control::Json;

bool ConsolePortProxy::is_open() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

std::vector<bool> ConsolePortProxy::set_open(bool open, uint64_t openings) {
  const std::lock_guard lock(mutex_);
  const bool opened = std::exchange(openings_, openings) != openings;
  if (std::exchange(open_, open) != open) return {open};
  // What it did in between was not told by itself.
  return opened ? std::vector{!open, open} : std::vector<bool>();
}

bool ConsolePortProxy::is_open_as(uint64_t opening) const {
  const std::lock_guard lock(mutex_);
  return open_ && openings_ == opening;
}

std::optional<ConsolePortAttachment> ConsolePortProxy::attachment() const {
  const std::lock_guard lock(mutex_);
  return attachment_;
}

std::string ConsolePortProxy::pseudo_terminal_path() const {
  const std::lock_guard lock(mutex_);
  const LineFiles& files = other_ ? *other_ : configured_;
  return files.terminal ? files.terminal->path : "";
}

void ConsolePortProxy::reset() {
  const std::lock_guard lock(mutex_);
  open_ = false;
  openings_ = 0;
  attachment_ = configuration_.attachment;
  other_.reset();
}

void ConsolePortProxy::set_attachment(std::optional<ConsolePortAttachment> attachment,
                                      Completion<> completion) {
  const auto refuse = [&](Error error) { requests_.refuse(std::move(completion), std::move(error)); };
  if (is_spice_agent() || (attachment && std::holds_alternative<SpiceAgentPortAttachment>(*attachment)))
    return refuse({ErrorCode::not_supported, "attachment",
                   "a SPICE agent's port is not attached to anything else while the machine exists",
                   "Clipboard::set_sharing() switches what it does"});
  if (attachment) {
    if (auto problems = config::validate_console_attachment(*attachment); !problems.empty())
      return refuse(std::move(problems.front()));
  }
  auto made = make_line_files(attachment, "attachment");
  if (!made) return refuse(std::move(made.error()));
  auto files = std::make_shared<LineFiles>(*std::move(made));
  machine::Descriptors opened;
  if (auto line = open_line(attachment, *files, "attachment", opened); !line)
    return refuse(std::move(line.error()));
  Json request = {{"request", "set_console_attachment"}, {"device", place_.device}, {"port", place_.port}};
  std::vector<UniqueFd> descriptors = add_descriptors(request, std::move(opened).take_all());
  requests_.request_for_device(
      std::move(request),
      [this, attachment = std::move(attachment), files = std::move(files),
       completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        {
          const std::lock_guard lock(mutex_);
          attachment_ = std::move(attachment);
          other_ = std::move(files);
        }
        completion({});
      },
      std::move(descriptors));
}

void ConsolePortProxy::set_terminal_size(uint16_t columns, uint16_t rows, Completion<> completion) {
  requests_.request_for_device({{"request", "resize_console"},
                                {"device", place_.device},
                                {"port", place_.port},
                                {"columns", columns},
                                {"rows", rows}},
                               [completion = std::move(completion)](Result<Json> reply) mutable {
                                 if (!reply) return completion(std::unexpected(std::move(reply.error())));
                                 completion({});
                               });
}

}  // namespace alcove::client
