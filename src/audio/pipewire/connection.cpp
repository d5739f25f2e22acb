#include "audio/pipewire/connection.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "audio/pipewire/stream.h"

namespace alcove::audio {

namespace {

constexpr int kSecondsToGreet = 5;

}  // namespace

Result<std::shared_ptr<PipeWire>> PipeWire::connect(UniqueFd socket, const std::string& name,
                                                    const std::string& where) {
  static const bool initialized = [] {
    pw_init(nullptr, nullptr);
    return true;
  }();
  (void)initialized;
  auto connection = std::make_shared<PipeWireConnection>(name);
  if (auto opened = connection->open(std::move(socket), where); !opened)
    return std::unexpected(std::move(opened.error()));
  return connection;
}

Result<> PipeWireConnection::open(UniqueFd socket, const std::string& where) {
  const auto refuse = [&](const std::string& what) {
    return fail(ErrorCode::not_supported, where, "the host's sound can't be reached: " + what,
                "see that PipeWire works (pw-cli info), or use a file, or no sink or source");
  };
  thread_ = pw_thread_loop_new("pipewire", nullptr);
  if (!thread_) return refuse(std::strerror(errno));
  context_ = pw_context_new(pw_thread_loop_get_loop(thread_), nullptr, 0);
  if (!context_) return refuse(fmt::format("PipeWire's client.conf or modules: {}", std::strerror(errno)));
  // Takes the descriptor, whatever comes of it.
  core_ = pw_context_connect_fd(context_, socket.release(),
                                pw_properties_new(PW_KEY_APP_NAME, name_.c_str(), nullptr), 0);
  if (!core_) return refuse(std::strerror(errno));
  static const pw_core_events events = [] {
    pw_core_events made{};
    made.version = PW_VERSION_CORE_EVENTS;
    made.done = on_done;
    made.error = on_error;
    return made;
  }();
  pw_core_add_listener(core_, &listener_, &events, this);
  if (pw_thread_loop_start(thread_) != 0) return refuse("no thread for it");
  const Lock lock(*this);
  awaited_ = pw_core_sync(core_, PW_ID_CORE, 0);
  while (!is_greeted_ && error_.empty()) {
    if (pw_thread_loop_timed_wait(thread_, kSecondsToGreet) != 0) return refuse("it does not answer");
  }
  if (!error_.empty()) return refuse(error_);
  return {};
}

PipeWireConnection::~PipeWireConnection() {
  if (thread_) pw_thread_loop_stop(thread_);
  if (core_) {
    spa_hook_remove(&listener_);
    pw_core_disconnect(core_);
  }
  if (context_) pw_context_destroy(context_);
  if (thread_) pw_thread_loop_destroy(thread_);
}

void PipeWireConnection::on_done(void* data, uint32_t id, int sequence) {
  auto* self = static_cast<PipeWireConnection*>(data);
  if (id != PW_ID_CORE || sequence != self->awaited_) return;
  self->is_greeted_ = true;
  pw_thread_loop_signal(self->thread_, false);
}

void PipeWireConnection::on_error(void* data, uint32_t id, int, int result, const char* message) {
  auto* self = static_cast<PipeWireConnection*>(data);
  if (id != PW_ID_CORE) return;  // A stream's: it will see for itself.
  self->is_lost_ |= result == -EPIPE;
  self->error_ = message ? message : std::strerror(-result);
  pw_thread_loop_signal(self->thread_, false);
}

std::unique_ptr<Output> PipeWireConnection::make_output() {
  return std::make_unique<PipeWireOutput>(shared_from_this());
}

std::unique_ptr<Input> PipeWireConnection::make_input() {
  return std::make_unique<PipeWireInput>(shared_from_this());
}

}  // namespace alcove::audio
