#include "cli/statistics.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "cli/output.h"

namespace alcove::cli {

namespace {

using Json = nlohmann::json;

struct Collection {
  Json tree;
  size_t awaited = 1;
  std::function<void(Json)> done;

  void answered() {
    if (--awaited == 0) done(std::move(tree));
  }
};

std::string kind_of(const StorageDeviceConfiguration& device) {
  if (std::holds_alternative<VirtioBlockDeviceConfiguration>(device)) return "virtio";
  if (std::holds_alternative<NVMExpressControllerDeviceConfiguration>(device)) return "nvme";
  return "usb";
}

Json describe(const StorageDevice& device) {
  const StorageDeviceLimits limits = device.limits();
  return {{"number", device.number()},
          {"kind", kind_of(device.configuration())},
          {"source", storage_source(device.configuration())},
          {"limits",
           {{"bytes_per_second", limits.bytes_per_second},
            {"operations_per_second", limits.operations_per_second}}}};
}

void add(const StorageDeviceStatistics& counted, Json& tree) {
  tree["size"] = counted.size;
  tree["read_operations"] = counted.read_operations;
  tree["read_bytes"] = counted.read_bytes;
  tree["write_operations"] = counted.write_operations;
  tree["written_bytes"] = counted.written_bytes;
  tree["flush_operations"] = counted.flush_operations;
  tree["discard_operations"] = counted.discard_operations;
  tree["failed_operations"] = counted.failed_operations;
}

void add(const NetworkDeviceStatistics& counted, Json& tree) {
  tree["sent_frames"] = counted.sent_frames;
  tree["sent_bytes"] = counted.sent_bytes;
  tree["received_frames"] = counted.received_frames;
  tree["received_bytes"] = counted.received_bytes;
  tree["dropped_sent_frames"] = counted.dropped_sent_frames;
  tree["dropped_received_frames"] = counted.dropped_received_frames;
}

// What a guest leaves out is left out.
Json describe(const MemoryBalloonStatistics& counted) {
  Json tree = {{"current_memory_size", counted.current_memory_size},
               {"reported_free_memory", counted.reported_free_memory}};
  const auto put = [&](const char* name, const std::optional<uint64_t>& value) {
    if (value) tree[name] = *value;
  };
  put("total_memory", counted.total_memory);
  put("free_memory", counted.free_memory);
  put("available_memory", counted.available_memory);
  put("disk_caches", counted.disk_caches);
  put("swapped_in", counted.swapped_in);
  put("swapped_out", counted.swapped_out);
  put("major_faults", counted.major_faults);
  put("minor_faults", counted.minor_faults);
  return tree;
}

std::string mebibytes(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

void collect_statistics(RunningMachine& running, std::function<void(Json)> done) {
  VirtualMachine& machine = running.machine();
  const auto collection = std::make_shared<Collection>();
  collection->done = std::move(done);
  collection->tree = {{"state", to_string(machine.state())},
                      {"process_id", machine.process_id()},
                      {"processor_seconds", static_cast<double>(machine.processor_time().count()) / 1e9},
                      {"resident_memory_size", machine.resident_memory_size()},
                      {"storage_devices", Json::array()},
                      {"network_devices", Json::array()},
                      {"memory_balloon_devices", Json::array()}};
  Json& disks = collection->tree["storage_devices"];
  for (const auto& device : machine.storage_devices()) {
    const size_t index = disks.size();
    disks.push_back(describe(*device));
    ++collection->awaited;
    running.storage_statistics(*device, [collection, index](const Result<StorageDeviceStatistics>& counted) {
      if (counted) add(*counted, collection->tree["storage_devices"][index]);
      collection->answered();
    });
  }
  for (size_t index = 0; index < machine.network_devices().size(); ++index) {
    const NetworkDevice& device = *machine.network_devices()[index];
    const auto attachment = device.attachment();
    collection->tree["network_devices"].push_back(
        {{"mac_address", device.mac_address().string()},
         {"attachment", attachment ? describe(*attachment) : "none"}});
    ++collection->awaited;
    running.network_statistics(index, [collection, index](const Result<NetworkDeviceStatistics>& counted) {
      if (counted) add(*counted, collection->tree["network_devices"][index]);
      collection->answered();
    });
  }
  for (size_t index = 0; index < machine.memory_balloon_devices().size(); ++index) {
    collection->tree["memory_balloon_devices"].push_back(Json::object());
    ++collection->awaited;
    running.balloon_statistics(index, [collection, index](const Result<MemoryBalloonStatistics>& counted) {
      if (counted) collection->tree["memory_balloon_devices"][index] = describe(*counted);
      collection->answered();
    });
  }
  collection->answered();
}

std::string storage_text(const Json& statistics) {
  std::string text;
  for (const Json& disk : statistics.value("storage_devices", Json::array())) {
    text += fmt::format("{}  {:<6}  {:>10}  {}", disk.value("number", size_t{0}), disk.value("kind", ""),
                        format_size(disk.value("size", uint64_t{0})), disk.value("source", ""));
    const Json limits = disk.value("limits", Json::object());
    if (const auto bytes = limits.value("bytes_per_second", uint64_t{0}))
      text += fmt::format("  at most {}/s", format_size(bytes));
    if (const auto operations = limits.value("operations_per_second", uint64_t{0}))
      text += fmt::format("  at most {} operations/s", operations);
    text += '\n';
  }
  return text;
}

std::string statistics_text(const Json& statistics) {
  std::string text =
      fmt::format("processor  {:.1f} s\nresident   {}\n", statistics.value("processor_seconds", 0.0),
                  mebibytes(statistics.value("resident_memory_size", uint64_t{0})));
  for (const Json& disk : statistics.value("storage_devices", Json::array())) {
    const auto count = [&](const char* name) { return disk.value(name, uint64_t{0}); };
    text +=
        fmt::format("disk {}     {} reads ({}), {} writes ({}), {} flushes, {} discards, {} failed\n",
                    disk.value("number", size_t{0}), count("read_operations"), mebibytes(count("read_bytes")),
                    count("write_operations"), mebibytes(count("written_bytes")), count("flush_operations"),
                    count("discard_operations"), count("failed_operations"));
  }
  size_t number = 0;
  for (const Json& card : statistics.value("network_devices", Json::array())) {
    const auto count = [&](const char* name) { return card.value(name, uint64_t{0}); };
    text += fmt::format("network {}  {} frames sent ({}), {} received ({}), {} and {} dropped\n", number++,
                        count("sent_frames"), mebibytes(count("sent_bytes")), count("received_frames"),
                        mebibytes(count("received_bytes")), count("dropped_sent_frames"),
                        count("dropped_received_frames"));
  }
  for (const Json& balloon : statistics.value("memory_balloon_devices", Json::array())) {
    text += fmt::format("memory     {}", mebibytes(balloon.value("current_memory_size", uint64_t{0})));
    if (balloon.contains("available_memory"))
      text += fmt::format(", {} of it available", mebibytes(balloon["available_memory"].get<uint64_t>()));
    text += '\n';
  }
  return text;
}

}  // namespace alcove::cli
