#include "control/messages.h"

namespace alcove::control {
namespace {

// Calls function(name, member) for each of the statistics that a guest may leave out.
template <class Statistics, class Function>
void for_each_statistic(Statistics& statistics, Function function) {
  function("total_memory", statistics.total_memory);
  function("free_memory", statistics.free_memory);
  function("available_memory", statistics.available_memory);
  function("disk_caches", statistics.disk_caches);
  function("swapped_in", statistics.swapped_in);
  function("swapped_out", statistics.swapped_out);
  function("major_faults", statistics.major_faults);
  function("minor_faults", statistics.minor_faults);
}

// As above, for disks.
template <class Statistics, class Function>
void for_each_storage_statistic(Statistics& statistics, Function function) {
  function("size", statistics.size);
  function("read_operations", statistics.read_operations);
  function("read_bytes", statistics.read_bytes);
  function("write_operations", statistics.write_operations);
  function("written_bytes", statistics.written_bytes);
  function("flush_operations", statistics.flush_operations);
  function("discard_operations", statistics.discard_operations);
  function("failed_operations", statistics.failed_operations);
}

template <class Statistics, class Function>
void for_each_network_statistic(Statistics& statistics, Function function) {
  function("sent_frames", statistics.sent_frames);
  function("sent_bytes", statistics.sent_bytes);
  function("received_frames", statistics.received_frames);
  function("received_bytes", statistics.received_bytes);
  function("dropped_sent_frames", statistics.dropped_sent_frames);
  function("dropped_received_frames", statistics.dropped_received_frames);
}

}  // namespace

Json to_json(const Error& error) {
  return {{"code", static_cast<unsigned>(error.code)},
          {"where", error.where},
          {"what", error.what},
          {"hint", error.hint}};
}

Error error_from_json(const Json& tree) {
  const auto code = number_of(tree, "code");
  const auto what = text_of(tree, "what");
  if (!code || !what || to_string(static_cast<ErrorCode>(*code)) == "unknown") {
    return {ErrorCode::internal, "", "the machine's process sent an error that can't be read", ""};
  }
  return {static_cast<ErrorCode>(*code), text_of(tree, "where").value_or(""), *what,
          text_of(tree, "hint").value_or("")};
}

Json to_json(const MemoryBalloonStatistics& statistics) {
  Json tree = {{"current_memory_size", statistics.current_memory_size},
               {"reported_free_memory", statistics.reported_free_memory}};
  for_each_statistic(statistics, [&](const char* name, const std::optional<uint64_t>& value) {
    if (value) tree[name] = *value;
  });
  return tree;
}

MemoryBalloonStatistics statistics_from_json(const Json& tree) {
  MemoryBalloonStatistics statistics;
  statistics.current_memory_size = number_of(tree, "current_memory_size").value_or(0);
  statistics.reported_free_memory = number_of(tree, "reported_free_memory").value_or(0);
  for_each_statistic(
      statistics, [&](const char* name, std::optional<uint64_t>& value) { value = number_of(tree, name); });
  return statistics;
}

Json to_json(const StorageDeviceStatistics& statistics) {
  Json tree = Json::object();
  for_each_storage_statistic(statistics, [&](const char* name, uint64_t value) { tree[name] = value; });
  return tree;
}

StorageDeviceStatistics storage_statistics_from_json(const Json& tree) {
  StorageDeviceStatistics statistics;
  for_each_storage_statistic(
      statistics, [&](const char* name, uint64_t& value) { value = number_of(tree, name).value_or(0); });
  return statistics;
}

Json to_json(const NetworkDeviceStatistics& statistics) {
  Json tree = Json::object();
  for_each_network_statistic(statistics, [&](const char* name, uint64_t value) { tree[name] = value; });
  return tree;
}

NetworkDeviceStatistics network_statistics_from_json(const Json& tree) {
  NetworkDeviceStatistics statistics;
  for_each_network_statistic(
      statistics, [&](const char* name, uint64_t& value) { value = number_of(tree, name).value_or(0); });
  return statistics;
}

Json to_json(const Prerequisite& prerequisite) {
  return {{"name", prerequisite.name},
          {"satisfied", prerequisite.satisfied},
          {"required", prerequisite.required},
          {"found", prerequisite.found},
          {"hint", prerequisite.hint}};
}

Prerequisite prerequisite_from_json(const Json& tree) {
  return {.name = text_of(tree, "name").value_or(""),
          .satisfied = member_of(tree, "satisfied") == true,
          .required = member_of(tree, "required") == true,
          .found = text_of(tree, "found").value_or(""),
          .hint = text_of(tree, "hint").value_or("")};
}

const Json& member_of(const Json& tree, std::string_view name) {
  static const Json kNone = Json::object();
  if (!tree.is_object()) return kNone;
  const auto found = tree.find(name);
  return found == tree.end() ? kNone : *found;
}

std::optional<std::string> text_of(const Json& tree, std::string_view name) {
  const Json& member = member_of(tree, name);
  if (!member.is_string()) return {};
  return member.get<std::string>();
}

std::optional<uint64_t> number_of(const Json& tree, std::string_view name) {
  const Json& member = member_of(tree, name);
  if (!member.is_number_unsigned()) return {};
  return member.get<uint64_t>();
}

std::vector<std::string> texts_of(const Json& tree, std::string_view name) {
  std::vector<std::string> texts;
  for (const Json& element : member_of(tree, name)) {
    if (element.is_string()) texts.push_back(element.get<std::string>());
  }
  return texts;
}

}  // namespace alcove::control
