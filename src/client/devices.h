// Live devices: what is known of them here, and requests to the machine's process for the rest.
#pragma once

#include <alcove/devices.h>
#include <alcove/virtual_machine.h>

#include <mutex>

#include "client/device_requests.h"
#include "client/host_files.h"
#include "control/messages.h"

namespace alcove::client {

class NetworkDeviceProxy final : public NetworkDevice {
 public:
  NetworkDeviceProxy(DeviceRequests& requests, size_t index, MACAddress mac_address)
      : requests_(requests), index_(index), mac_address_(mac_address) {}

  MACAddress mac_address() const override { return mac_address_; }
  std::vector<std::string> addresses() const override;
  std::vector<PortForward> port_forwards() const override;
  void add_port_forward(PortForward forward, Completion<PortForward> completion) override;
  void remove_port_forward(PortForward forward, Completion<> completion) override;

  void set_addresses(std::vector<std::string> addresses);
  void set_port_forwards(std::vector<PortForward> forwards);

 private:
  DeviceRequests& requests_;
  const size_t index_;
  const MACAddress mac_address_;
  mutable std::mutex mutex_;  // Guards what follows.
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
