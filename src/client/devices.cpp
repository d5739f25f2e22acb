#include "client/devices.h"

#include <alcove/literals.h>

#include <algorithm>

#include "client/machine_program.h"
#include "client/named_descriptors.h"
#include "config/validate.h"

namespace alcove::client {

using control::Json;

std::vector<std::string> NetworkDeviceProxy::addresses() const {
  const std::lock_guard lock(mutex_);
  return addresses_;
}

std::vector<PortForward> NetworkDeviceProxy::port_forwards() const {
  const std::lock_guard lock(mutex_);
  return forwards_;
}

void NetworkDeviceProxy::set_addresses(std::vector<std::string> addresses) {
  const std::lock_guard lock(mutex_);
  addresses_ = std::move(addresses);
}

void NetworkDeviceProxy::set_state(const Json& state) {
  std::vector<PortForward> forwards;
  for (const Json& tree : control::member_of(state, "port_forwards")) {
    if (auto forward = config::port_forward_from_tree(tree, "")) forwards.push_back(*std::move(forward));
  }
  const std::lock_guard lock(mutex_);
  forwards_ = std::move(forwards);
  addresses_ = control::texts_of(state, "addresses");
}

std::optional<NetworkDeviceAttachment> NetworkDeviceProxy::attachment() const {
  const std::lock_guard lock(mutex_);
  return attachment_;
}

void NetworkDeviceProxy::disconnected() {
  const std::lock_guard lock(mutex_);
  attachment_.reset();
  addresses_.clear();
  forwards_.clear();
}

void NetworkDeviceProxy::reset() {
  const std::lock_guard lock(mutex_);
  attachment_ = configuration_.attachment;
}

void NetworkDeviceProxy::set_attachment(std::optional<NetworkDeviceAttachment> attachment,
                                        Completion<> completion) {
  const auto refuse = [&](Error error) { requests_.refuse(std::move(completion), std::move(error)); };
  Json request = {{"request", "set_network_attachment"}, {"device", index_}};
  machine::Descriptors opened;
  if (attachment) {
    if (auto problems = config::validate_network_attachment(*attachment); !problems.empty())
      return refuse(std::move(problems.front()));
    auto files = make_network_files(*attachment, "attachment");
    if (!files) return refuse(std::move(files.error()));
    auto program = find_machine_program(machine_program_);
    if (!program) return refuse(std::move(program.error()));
    if (auto done = open_network(*attachment, *files,
                                 {.mac_address = configuration_.mac_address, .machine_program = *program},
                                 "attachment", opened);
        !done) {
      return refuse(std::move(done.error()));
    }
    request["attachment"] = config::to_tree(*attachment);
  }
  std::vector<UniqueFd> descriptors = add_descriptors(request, std::move(opened).take_all());
  requests_.request_for_device(
      std::move(request),
      [this, attachment = std::move(attachment),
       completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        set_state(*reply);
        {
          const std::lock_guard lock(mutex_);
          attachment_ = std::move(attachment);
        }
        completion({});
      },
      std::move(descriptors));
}

void NetworkDeviceProxy::add_port_forward(PortForward forward, Completion<PortForward> completion) {
  Json request = {{"request", "add_port_forward"}, {"device", index_}, {"forward", config::to_tree(forward)}};
  requests_.request_for_device(
      std::move(request), [this, completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        auto added = config::port_forward_from_tree(control::member_of(*reply, "forward"), "forward");
        if (added) {
          const std::lock_guard lock(mutex_);
          forwards_.push_back(*added);
        }
        completion(std::move(added));
      });
}

void NetworkDeviceProxy::statistics(Completion<NetworkDeviceStatistics> completion) {
  requests_.request_for_device(
      {{"request", "network_statistics"}, {"device", index_}},
      [completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        completion(control::network_statistics_from_json(control::member_of(*reply, "statistics")));
      });
}

void NetworkDeviceProxy::remove_port_forward(PortForward forward, Completion<> completion) {
  Json request = {
      {"request", "remove_port_forward"}, {"device", index_}, {"forward", config::to_tree(forward)}};
  requests_.request_for_device(
      std::move(request),
      [this, forward = std::move(forward), completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        {
          const std::lock_guard lock(mutex_);
          std::erase(forwards_, forward);
        }
        completion({});
      });
}

uint64_t MemoryBalloonProxy::target_virtual_machine_memory_size() const {
  const std::lock_guard lock(mutex_);
  return target_;
}

void MemoryBalloonProxy::set_target_virtual_machine_memory_size(uint64_t bytes) {
  using namespace literals;
  const uint64_t least = std::min(VirtualMachineConfiguration::minimum_allowed_memory_size(), memory_size_);
  const uint64_t target = std::clamp(bytes / 1_MiB * 1_MiB, least, memory_size_);
  {
    const std::lock_guard lock(mutex_);
    target_ = target;
  }
  // A request only: that the machine is not running, or the guest unable, is no error.
  requests_.request_for_device({{"request", "set_balloon_target"}, {"memory_size", target}},
                               [](const Result<Json>&) {});
}

void MemoryBalloonProxy::statistics(Completion<MemoryBalloonStatistics> completion) {
  requests_.request_for_device(
      {{"request", "balloon_statistics"}}, [completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        completion(control::statistics_from_json(control::member_of(*reply, "statistics")));
      });
}

void MemoryBalloonProxy::reset() {
  const std::lock_guard lock(mutex_);
  target_ = memory_size_;
}

std::optional<DirectoryShare> DirectorySharingProxy::share() const {
  const std::lock_guard lock(mutex_);
  return share_;
}

void DirectorySharingProxy::set_share(std::optional<DirectoryShare> share, Completion<> completion) {
  const auto refuse = [&](Error error) { requests_.refuse(std::move(completion), std::move(error)); };
  Json request = {{"request", "set_share"}, {"device", index_}};
  std::map<std::string, UniqueFd> named;
  if (share) {
    if (auto problems = config::validate_share(*share); !problems.empty()) return refuse(problems.front());
    auto folders = open_share(*share, "share");
    if (!folders) return refuse(std::move(folders.error()));
    named = *std::move(folders);
    request["share"] = config::to_tree(*share);
  }
  std::vector<UniqueFd> descriptors = add_descriptors(request, std::move(named));
  requests_.request_for_device(
      std::move(request),
      [this, share = std::move(share), completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        {
          const std::lock_guard lock(mutex_);
          share_ = std::move(share);
        }
        completion({});
      },
      std::move(descriptors));
}

void DirectorySharingProxy::reset() {
  const std::lock_guard lock(mutex_);
  share_ = configuration_.share;
}

}  // namespace alcove::client
