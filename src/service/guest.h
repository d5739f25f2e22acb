// What the service steers: a machine::Machine, or a fake in tests.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "machine/machine.h"

namespace alcove::service {

// The calls of machine::Machine, see there.
class Guest {
 public:
  virtual ~Guest() = default;
  virtual Result<> start() = 0;
  virtual Result<> pause() = 0;
  virtual Result<> resume() = 0;
  virtual Result<> request_stop() = 0;
  virtual void stop() = 0;
  virtual std::string_view hypervisor() const = 0;
  virtual machine::NetworkControl& network(size_t index) = 0;
  virtual machine::StorageControl& storage() = 0;
  virtual Result<> set_network_attachment(size_t device,
                                          const std::optional<NetworkDeviceAttachment>& attachment,
                                          machine::Descriptors descriptors) = 0;
  virtual void send_input(const InputEvent& event) = 0;
  virtual Result<> attach_usb(size_t controller, const USBMassStorageDeviceConfiguration& device,
                              std::vector<UniqueFd> image) = 0;
  virtual void detach_usb(size_t controller, const UUID& uuid, Completion<> completion) = 0;
  virtual void change_usb_medium(size_t controller, const UUID& uuid,
                                 const std::optional<StorageDeviceAttachment>& medium,
                                 std::vector<UniqueFd> image, Completion<> completion) = 0;
  virtual Result<size_t> attach_storage(const StorageDeviceConfiguration& device,
                                        std::vector<UniqueFd> image) = 0;
  virtual void detach_storage(size_t number, const StorageDeviceDetachOptions& options,
                              Completion<> completion) = 0;
  virtual Result<> set_share(size_t device, const std::optional<DirectoryShare>& share,
                             machine::Descriptors folders) = 0;
  virtual void connect_socket(uint32_t port, UniqueFd socket, std::chrono::milliseconds timeout,
                              Completion<uint32_t> completion) = 0;
  virtual void answer_socket(uint64_t connection, UniqueFd socket, Completion<> completion) = 0;
  virtual Result<> set_console_attachment(size_t device, size_t port, machine::Descriptors attachment,
                                          std::optional<uint64_t> opening) = 0;
  virtual Result<> resize_console(size_t device, size_t port, uint16_t columns, uint16_t rows) = 0;
  virtual Result<> set_balloon_target(uint64_t memory_size) = 0;
  virtual Result<> reconfigure_display(size_t device, size_t scanout,
                                       const VirtioGraphicsScanoutConfiguration& configuration) = 0;
  virtual void balloon_statistics(Completion<MemoryBalloonStatistics> completion) = 0;
};

using GuestFactory = std::function<Result<std::unique_ptr<Guest>>(
    VirtualMachineConfiguration, machine::Descriptors, machine::MachineObserver&)>;

}  // namespace alcove::service
