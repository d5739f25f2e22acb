// Live console devices.
#pragma once

#include <alcove/devices.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/device_requests.h"
#include "client/line_files.h"

namespace alcove::client {

class ConsolePortProxy final : public ConsolePort {
 public:
  struct Place {
    size_t device, port;
  };
  ConsolePortProxy(DeviceRequests& requests, Place place, VirtioConsolePortConfiguration configuration,
                   LineFiles files)
      : requests_(requests),
        place_(place),
        configuration_(std::move(configuration)),
        configured_(std::move(files)),
        attachment_(configuration_.attachment) {}

  const VirtioConsolePortConfiguration& configuration() const override { return configuration_; }
  bool is_open() const override;
  std::optional<ConsolePortAttachment> attachment() const override;
  void set_attachment(std::optional<ConsolePortAttachment> attachment, Completion<> completion) override;
  std::string pseudo_terminal_path() const override;
  void set_terminal_size(uint16_t columns, uint16_t rows, Completion<> completion) override;

  const LineFiles& configured_files() const { return configured_; }
  bool is_spice_agent() const {
    return configuration_.attachment &&
           std::holds_alternative<SpiceAgentPortAttachment>(*configuration_.attachment);
  }
  // The guest has opened it so often. Gives what it did, in this order: true where it opened it.
  std::vector<bool> set_open(bool open, uint64_t openings);
  // Whether this opening is the latest that is known of, and not closed. Any thread.
  bool is_open_as(uint64_t opening) const;
  // Another machine process: as configured.
  void reset();

 private:
  DeviceRequests& requests_;
  const Place place_;
  const VirtioConsolePortConfiguration configuration_;
  const LineFiles configured_;
  mutable std::mutex mutex_;  // Guards what follows.
  bool open_ = false;
  uint64_t openings_ = 0;
  std::optional<ConsolePortAttachment> attachment_;
  std::shared_ptr<LineFiles> other_;  // Of an attachment that is not the configured.
};

class ConsoleDeviceProxy final : public ConsoleDevice {
 public:
  const std::vector<ConsolePort*>& ports() const override { return ports_; }
  void add(std::unique_ptr<ConsolePortProxy> port) {
    ports_.push_back(port.get());
    proxies_.push_back(std::move(port));
  }
  const std::vector<std::unique_ptr<ConsolePortProxy>>& proxies() const { return proxies_; }

 private:
  std::vector<std::unique_ptr<ConsolePortProxy>> proxies_;
  std::vector<ConsolePort*> ports_;
};

}  // namespace alcove::client
