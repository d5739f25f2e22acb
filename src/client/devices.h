// Live devices: what is known of them here, and requests to the machine's process for the rest.
#pragma once

#include <alcove/devices.h>
#include <alcove/virtual_machine.h>

#include <filesystem>
#include <mutex>

#include "client/device_requests.h"
#include "client/host_files.h"
#include "client/network_files.h"
#include "control/messages.h"

namespace alcove::client {

class NetworkDeviceProxy final : public NetworkDevice {
 public:
  // `machine_program` as of VirtualMachineOptions.
  NetworkDeviceProxy(DeviceRequests& requests, size_t index, VirtioNetworkDeviceConfiguration configuration,
                     NetworkFiles files, std::filesystem::path machine_program)
      : requests_(requests),
        index_(index),
        configuration_(std::move(configuration)),
        configured_(std::move(files)),
        machine_program_(std::move(machine_program)),
        attachment_(configuration_.attachment) {}

  MACAddress mac_address() const override { return configuration_.mac_address; }
  std::optional<NetworkDeviceAttachment> attachment() const override;
  void set_attachment(std::optional<NetworkDeviceAttachment> attachment, Completion<> completion) override;
  std::vector<std::string> addresses() const override;
  std::vector<PortForward> port_forwards() const override;
  void add_port_forward(PortForward forward, Completion<PortForward> completion) override;
  void remove_port_forward(PortForward forward, Completion<> completion) override;
  void statistics(Completion<NetworkDeviceStatistics> completion) override;

  const NetworkFiles& configured_files() const { return configured_; }
  // What the machine's process says of it: port_forwards and addresses.
  void set_state(const config::Json& state);
  void set_addresses(std::vector<std::string> addresses);
  void disconnected();
  // Another machine process: as configured.
  void reset();

 private:
  DeviceRequests& requests_;
  const size_t index_;
  const VirtioNetworkDeviceConfiguration configuration_;
  const NetworkFiles configured_;
  const std::filesystem::path machine_program_;
  mutable std::mutex mutex_;  // Guards what follows.
  std::optional<NetworkDeviceAttachment> attachment_;
  std::vector<std::string> addresses_;
  std::vector<PortForward> forwards_;
};

class MemoryBalloonProxy final : public MemoryBalloonDevice {
 public:
  MemoryBalloonProxy(DeviceRequests& requests, uint64_t memory_size)
      : requests_(requests), memory_size_(memory_size), target_(memory_size) {}

  uint64_t target_virtual_machine_memory_size() const override;
  void set_target_virtual_machine_memory_size(uint64_t bytes) override;
  void statistics(Completion<MemoryBalloonStatistics> completion) override;

  void reset();

 private:
  DeviceRequests& requests_;
  const uint64_t memory_size_;
  mutable std::mutex mutex_;  // Guards target_.
  uint64_t target_;
};

class DirectorySharingProxy final : public DirectorySharingDevice {
 public:
  DirectorySharingProxy(DeviceRequests& requests, size_t index,
                        VirtioFileSystemDeviceConfiguration configuration)
      : requests_(requests),
        index_(index),
        configuration_(std::move(configuration)),
        share_(configuration_.share) {}

  const std::string& tag() const override { return configuration_.tag; }
  std::optional<DirectoryShare> share() const override;
  void set_share(std::optional<DirectoryShare> share, Completion<> completion) override;

  void reset();

 private:
  DeviceRequests& requests_;
  const size_t index_;
  const VirtioFileSystemDeviceConfiguration configuration_;
  mutable std::mutex mutex_;  // Guards share_.
  std::optional<DirectoryShare> share_;
};

class SerialPortProxy final : public SerialPort {
 public:
  explicit SerialPortProxy(const SerialPortFiles& files) : files_(files) {}

  std::string log() const override { return files_.log.read(); }
  uint64_t log_position() const override { return files_.log.position(); }
  std::string pseudo_terminal_path() const override { return files_.terminal ? files_.terminal->path : ""; }

 private:
  const SerialPortFiles& files_;
};

}  // namespace alcove::client
