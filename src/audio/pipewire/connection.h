// What both ends of PipeWire streams use.
#pragma once

#include <pipewire/pipewire.h>

#include "audio/pipewire/pipewire.h"

namespace alcove::audio {

class PipeWireConnection final : public PipeWire, public std::enable_shared_from_this<PipeWireConnection> {
 public:
  explicit PipeWireConnection(std::string name) : name_(std::move(name)) {}
  ~PipeWireConnection() override;
  // Once, first.
  Result<> open(UniqueFd socket, const std::string& where);

  std::unique_ptr<Output> make_output() override;
  std::unique_ptr<Input> make_input() override;

  const std::string& name() const { return name_; }
  // The server is gone, for good. Under a Lock.
  bool is_lost() const { return is_lost_; }
  pw_core* core() { return core_; }  // Under a Lock, as all of PipeWire's calls that do not say otherwise.
  pw_loop* loop() { return pw_thread_loop_get_loop(thread_); }

  class Lock {
   public:
    explicit Lock(PipeWireConnection& connection) : thread_(connection.thread_) {
      pw_thread_loop_lock(thread_);
    }
    ~Lock() { pw_thread_loop_unlock(thread_); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    pw_thread_loop* thread_;
  };

 private:
  static void on_done(void* data, uint32_t id, int sequence);
  static void on_error(void* data, uint32_t id, int sequence, int result, const char* message);

  const std::string name_;
  pw_thread_loop* thread_ = nullptr;
  pw_context* context_ = nullptr;
  pw_core* core_ = nullptr;
  spa_hook listener_{};
  // Under a Lock.
  int awaited_ = 0;
  bool is_greeted_ = false;
  bool is_lost_ = false;
  std::string error_;
};

}  // namespace alcove::audio
