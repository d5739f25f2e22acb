// Hosts one machine: does what the application asks over the socket, and tells what the machine does.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/channel.h"
#include "control/messages.h"
#include "exec/event_loop.h"
#include "service/guest.h"

namespace alcove::service {

class MachineService final : public machine::MachineObserver {
 public:
  using Json = control::Json;

  MachineService(UniqueFd socket, GuestFactory factory);
  ~MachineService() override;

  // Serves until the machine has ended or the application is gone. Gives the process's exit status: 0 unless
  // the machine failed.
  int run();

 private:
  // On the machine's threads.
  void on_stopped() override;
  void on_error(Error error) override;
  void on_reboot() override;
  void on_addresses_changed(size_t network_device) override;
  void on_network_error(size_t network_device, Error error) override;
  void on_storage_connected(size_t storage_device) override;
  void on_storage_error(size_t storage_device, Error error) override;
  void on_storage_detached(size_t storage_device) override;
  void on_socket_request(uint64_t connection, uint32_t source_port, uint32_t port) override;
  void on_console_port(size_t device, size_t port, uint64_t openings, bool open) override;

  // On the loop's.
  void receive(const Json& request, std::vector<UniqueFd> descriptors);
  void receive_input(const Json& message);
  void start(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  Result<> create_guest(const Json& request, std::vector<UniqueFd> descriptors);
  Json started_reply();
  void serve(const std::string& name, uint64_t id, const Json& request);
  void attach_usb(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void set_share(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void set_console_attachment(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void set_network_attachment(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  Json network_state(size_t device);
  void resize_console(uint64_t id, const Json& request);
  void detach_usb(uint64_t id, const Json& request);
  void connect_socket(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void answer_socket(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void serve_network(const std::string& name, uint64_t id, const Json& request);
  void reconfigure_display(uint64_t id, const Json& request);
  void balloon_statistics(uint64_t id);
  void change_usb_medium(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void attach_storage(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors);
  void detach_storage(uint64_t id, const Json& request);
  Completion<> reply_later(uint64_t id);  // Any thread may call it.
  void serve_storage(const std::string& name, uint64_t id, const Json& request);
  void reply(uint64_t id, Result<> result);
  void answer(uint64_t id, Json message);
  void send_reboot();
  void send_addresses();
  void send_console_ports();
  // Ends the machine, sends the last message, and leaves run().
  void end(std::optional<Json> last_message, int status);

  exec::EventLoop loop_;
  std::atomic<bool> guest_ended_ = false;  // Set on the machine's threads, before end() comes to it.
  GuestFactory factory_;
  control::Channel channel_;
  size_t network_device_count_ = 0;
  bool reboot_to_send_ = false;
  std::vector<bool>
      addresses_to_send_;  // By network device: sent when the application keeps up with reading.
  struct ConsolePortState {
    uint64_t openings;
    bool open;
  };
  // By device and port: what became of it since the application was told.
  std::mutex console_ports_mutex_;
  std::map<std::pair<size_t, size_t>, ConsolePortState> console_ports_to_send_;
  bool ended_ = false;
  int status_ = 0;
  std::unique_ptr<Guest> guest_;
};

}  // namespace alcove::service
