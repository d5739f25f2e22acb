// The commands that show and change a running machine's disks, and what it counts and tells.
#include <fmt/format.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/event_stream.h"
#include "cli/output.h"
#include "cli/statistics.h"

namespace alcove::cli {

namespace {

int show(const Bundle& bundle, bool json, const char* member, std::string (*text)(const nlohmann::json&)) {
  const auto statistics = ask(bundle, {{"command", "statistics"}});
  if (!statistics) return report(statistics.error());
  if (json) {
    fmt::print("{}\n", (*member ? statistics->at(member) : *statistics).dump(2));
  } else {
    fmt::print("{}", text(*statistics));
  }
  return 0;
}

}  // namespace

int storage_list(const Bundle& bundle, bool json) {
  return show(bundle, json, "storage_devices", storage_text);
}

int stats(const Bundle& bundle, bool json) {
  return show(bundle, json, "", statistics_text);
}

int storage_attach(const Bundle& bundle, const std::string& device, bool nvme) {
  const auto parsed = nvme ? parse_nvme("FILE", device) : parse_disk("FILE", device);
  if (!parsed) return report(parsed.error());
  const auto reply =
      ask(bundle, {{"command", "attach_storage"}, {"device", with_absolute_paths(device)}, {"nvme", nvme}});
  if (!reply) return report(reply.error());
  fmt::print("{}\n", reply->value("disk", size_t{0}));
  return 0;
}

int storage_detach(const Bundle& bundle, unsigned disk, std::optional<unsigned> timeout, bool force) {
  constexpr unsigned kPatience = 30;
  const auto reply = ask(bundle, {{"command", "detach_storage"},
                                  {"disk", disk},
                                  {"timeout", timeout.value_or(force ? 0 : kPatience)},
                                  {"force", force}});
  return reply ? 0 : report(reply.error());
}

int storage_resize(const Bundle& bundle, unsigned disk, const std::string& text) {
  const auto size = parse_size_option("SIZE", text);
  if (!size) return report(size.error());
  const auto reply = ask(bundle, {{"command", "resize_storage"}, {"disk", disk}, {"size", *size}});
  return reply ? 0 : report(reply.error());
}

int storage_limit(const Bundle& bundle, unsigned disk, const std::string& bytes_per_second,
                  unsigned operations_per_second) {
  const auto bytes = parse_size_option("--bytes-per-second", bytes_per_second);
  if (!bytes) return report(bytes.error());
  const auto reply = ask(bundle, {{"command", "limit_storage"},
                                  {"disk", disk},
                                  {"bytes_per_second", *bytes},
                                  {"operations_per_second", operations_per_second}});
  return reply ? 0 : report(reply.error());
}

int events(const Bundle& bundle, bool json) {
  auto socket = bundle.connect();
  if (!socket) return report(socket.error());
  std::string rest;
  if (auto reply = ask(socket->get(), {{"command", "events"}}, rest); !reply) return report(reply.error());
  bool has_ended = false;
  while (true) {
    const auto event = receive_line(socket->get(), rest);
    if (!event && has_ended) return 0;
    if (!event) {
      return report({ErrorCode::internal, "", "the machine runs on perhaps, but its events have ended",
                     "they were not read in time, or the machine's background process has died"});
    }
    const std::string state = event->value("state", "");
    has_ended = has_ended || state == "stopped" || state == "error";
    fmt::print("{}\n", json ? event->dump() : event_text(*event));
    std::fflush(stdout);
  }
}

}  // namespace alcove::cli
