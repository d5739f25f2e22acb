#include "cli/event_stream.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "cli/output.h"

namespace alcove::cli {

namespace {

using Json = nlohmann::json;

std::string now() {
  const auto time = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  return fmt::format("{:%FT%T}Z", time);
}

std::string error_text(const Json& event) {
  const Error error = error_from_json(event.value("error", Json::object()));
  return (error.where.empty() ? "" : error.where + ": ") + error.what;
}

}  // namespace

VirtualMachineObserver observe_events(std::function<void(Json)> tell) {
  const auto say = [tell = std::move(tell)](const char* event, Json details = Json::object()) {
    details["time"] = now();
    details["event"] = event;
    tell(std::move(details));
  };
  return {
      .state_changed = [say](VirtualMachineState state) { say("state", {{"state", to_string(state)}}); },
      .guest_did_stop = [say] { say("guest_stopped"); },
      .did_stop_with_error = [say](const Error& error) { say("failed", {{"error", to_json(error)}}); },
      .guest_did_reboot = [say] { say("rebooted"); },
      .guest_did_become_ready = [say] { say("ready"); },
      .network_addresses_changed =
          [say](NetworkDevice& device) {
            say("addresses",
                {{"mac_address", device.mac_address().string()}, {"addresses", device.addresses()}});
          },
      .display_did_begin_reconfiguration = {},
      .display_did_end_reconfiguration = [say](GraphicsDisplay&) { say("display_size"); },
      .console_port_did_open =
          [say](ConsolePort& port) { say("port_opened", {{"name", port.configuration().name}}); },
      .console_port_did_close =
          [say](ConsolePort& port) { say("port_closed", {{"name", port.configuration().name}}); },
      .clipboard_changed = [say](Clipboard&) { say("clipboard"); },
      .network_attachment_was_disconnected =
          [say](NetworkDevice& device, const Error& error) {
            say("network_failed",
                {{"mac_address", device.mac_address().string()}, {"error", to_json(error)}});
          },
      .storage_attachment_was_connected =
          [say](StorageDevice& device) {
            say("disk_connected", {{"source", storage_source(device.configuration())}});
          },
      .storage_attachment_did_encounter_error =
          [say](StorageDevice& device, const Error& error) {
            say("disk_failed",
                {{"source", storage_source(device.configuration())}, {"error", to_json(error)}});
          },
      .storage_device_was_detached =
          [say](StorageDevice& device) {
            say("disk_detached",
                {{"number", device.number()}, {"source", storage_source(device.configuration())}});
          },
  };
}

std::string event_text(const Json& event) {
  const std::string kind = event.value("event", "");
  const auto text = [&](const char* name) { return event.value(name, ""); };
  std::string what = kind;
  if (kind == "state") what = text("state");
  if (kind == "guest_stopped") what = "the guest shut itself down";
  if (kind == "failed") what = "the machine failed: " + error_text(event);
  if (kind == "rebooted") what = "the guest rebooted";
  if (kind == "ready") what = "the guest is up";
  if (kind == "display_size") what = "a display has another size";
  if (kind == "port_opened") what = fmt::format("port {} is open", text("name"));
  if (kind == "port_closed") what = fmt::format("port {} is closed", text("name"));
  if (kind == "clipboard") what = "the guest's clipboard changed";
  if (kind == "disk_connected") what = fmt::format("disk {} is connected", text("source"));
  if (kind == "disk_failed") what = fmt::format("disk {} failed: {}", text("source"), error_text(event));
  if (kind == "disk_detached")
    what = fmt::format("disk {} ({}) is detached", event.value("number", 0), text("source"));
  if (kind == "network_failed")
    what = fmt::format("network of {} failed: {}", text("mac_address"), error_text(event));
  if (kind == "addresses") {
    what = fmt::format("{} has", text("mac_address"));
    for (const Json& address : event.value("addresses", Json::array()))
      what += " " + (address.is_string() ? address.get<std::string>() : "");
  }
  return fmt::format("{}  {}", text("time"), what);
}

}  // namespace alcove::cli
