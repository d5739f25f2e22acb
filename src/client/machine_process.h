// The process of one machine as its application sees it: spawned, talked to, watched.
#pragma once

#include <alcove/error.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/channel.h"
#include "exec/event_loop.h"
#include "support/unique_fd.h"

namespace alcove::client {

// Belongs to the thread of its loop, and so does the process: it is killed when that thread ends.
class MachineProcess {
 public:
  using OnMessage = std::move_only_function<void(control::Json message)>;
  // Called once, last, when the process is gone; tells how, with its last words: "was killed by SIGSEGV: …".
  // May destroy the object.
  using OnEnded = std::move_only_function<void(std::string how)>;

  // `label` is shown among the process's arguments.
  static Result<std::unique_ptr<MachineProcess>> spawn(exec::EventLoop& loop,
                                                       const std::filesystem::path& program,
                                                       const std::string& label, OnMessage on_message,
                                                       OnEnded on_ended);
  // Kills the process if it still lives, and reaps it.
  ~MachineProcess();
  MachineProcess(const MachineProcess&) = delete;
  MachineProcess& operator=(const MachineProcess&) = delete;

  pid_t pid() const { return pid_; }
  void send(control::Json message, std::vector<UniqueFd> descriptors = {});
  // See control::Channel.
  void set_reading(bool reading) { channel_->set_reading(reading); }
  // Bytes that it has not read.
  size_t backlog() const { return channel_ ? channel_->backlog() : 0; }
  // Kills it unless it has ended by then.
  void end_within(std::chrono::milliseconds time);

 private:
  MachineProcess(exec::EventLoop& loop, pid_t pid, UniqueFd process, UniqueFd messages, UniqueFd complaints,
                 OnMessage on_message, OnEnded on_ended);
  void process_ended();
  void channel_closed();
  void read_complaints();
  void reap();
  void kill();
  void finish();

  exec::EventLoop& loop_;
  const pid_t pid_;
  UniqueFd process_;     // A pidfd.
  UniqueFd complaints_;  // The reading end of its standard error.
  std::string last_words_;
  OnEnded on_ended_;
  std::unique_ptr<control::Channel> channel_;
  bool channel_open_ = true;
  std::optional<std::string> how_;  // Set when reaped.
  std::optional<exec::EventLoop::TimerId> deadline_;
  bool finished_ = false;
};

}  // namespace alcove::client
