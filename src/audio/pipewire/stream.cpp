#include "audio/pipewire/stream.h"

#include <spa/param/audio/format-utils.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>

namespace alcove::audio {

namespace {

using std::chrono::milliseconds;

// How long the server may do nothing with a stream before its user's time passes without it. Whoever starts
// it waits so long at most for the server to find what it is to be connected with.
constexpr milliseconds kStall{2000};
constexpr milliseconds kOutputRing{400};
constexpr milliseconds kInputRing{500};
// What an output's ring holds at least, and how many of the server's cycles.
constexpr milliseconds kLeastTarget{40};
constexpr uint32_t kTargetCycles = 2;
// Cycles without samples before a stream that was stopped is made inactive.
constexpr unsigned kEmptyCycles = 4;
// What the server is asked for: cycles of 20 ms.
constexpr auto kLatency = "960/48000";

spa_audio_format server_format(AudioSampleFormat format) {
  switch (format) {
    case AudioSampleFormat::u8:
      return SPA_AUDIO_FORMAT_U8;
    case AudioSampleFormat::s16:
      return SPA_AUDIO_FORMAT_S16_LE;
    case AudioSampleFormat::s24:
      return SPA_AUDIO_FORMAT_S24_32_LE;
    case AudioSampleFormat::s32:
      return SPA_AUDIO_FORMAT_S32_LE;
    case AudioSampleFormat::f32:
      return SPA_AUDIO_FORMAT_F32_LE;
  }
  return SPA_AUDIO_FORMAT_UNKNOWN;
}

spa_audio_info_raw describe(const Format& format) {
  spa_audio_info_raw info{};
  info.format = server_format(format.sample_format);
  info.rate = format.sample_rate;
  info.channels = format.channel_count;
  if (format.channel_count == 1) {
    info.position[0] = SPA_AUDIO_CHANNEL_MONO;
  } else {
    info.position[0] = SPA_AUDIO_CHANNEL_FL;
    info.position[1] = SPA_AUDIO_CHANNEL_FR;
  }
  return info;
}

}  // namespace

PipeWireStream::PipeWireStream(std::shared_ptr<PipeWireConnection> connection, pw_direction direction)
    : connection_(std::move(connection)),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      direction_(direction) {}

PipeWireStream::~PipeWireStream() = default;

uint32_t PipeWireStream::bytes_in(milliseconds time) const {
  return static_cast<uint32_t>(format_.sample_rate * static_cast<uint64_t>(time.count()) / 1000) *
         frame_size_;
}

bool PipeWireStream::open(const Format& format, milliseconds ring) {
  if (stream_ && format == format_ && !is_broken_) return true;
  close();
  format_ = format;
  frame_size_ = frame_size(format);
  ring_.resize(bytes_in(ring));
  is_broken_ = false;
  delay_ = 0;
  const bool is_output = direction_ == PW_DIRECTION_OUTPUT;
  const PipeWireConnection::Lock lock(*connection_);
  // Nothing is heard, then. The library would never let go of a stream that it made for a server that is
  // gone.
  if (connection_->is_lost()) {
    is_broken_ = true;
    return true;
  }
  pw_properties* properties = pw_properties_new(
      PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, is_output ? "Playback" : "Capture", PW_KEY_NODE_NAME,
      is_output ? "alcove.output" : "alcove.input", PW_KEY_NODE_DESCRIPTION, connection_->name().c_str(),
      PW_KEY_NODE_LATENCY, kLatency, nullptr);
  stream_ = pw_stream_new(connection_->core(), connection_->name().c_str(), properties);
  if (!stream_) return false;
  static const pw_stream_events events = [] {
    pw_stream_events made{};
    made.version = PW_VERSION_STREAM_EVENTS;
    made.state_changed = on_state;
    made.process = on_process;
    return made;
  }();
  pw_stream_add_listener(stream_, &listener_, &events, this);
  idle_ = pw_loop_add_event(connection_->loop(), on_idle, this);
  std::array<uint8_t, 1024> bytes;
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, bytes.data(), bytes.size());
  spa_audio_info_raw info = describe(format);
  const spa_pod* parameters[] = {spa_format_audio_raw_build(&builder, SPA_PARAM_EnumFormat, &info)};
  const auto flags = static_cast<pw_stream_flags>(PW_STREAM_FLAG_AUTOCONNECT | PW_STREAM_FLAG_INACTIVE |
                                                  PW_STREAM_FLAG_MAP_BUFFERS | PW_STREAM_FLAG_RT_PROCESS);
  is_broken_ = pw_stream_connect(stream_, direction_, PW_ID_ANY, flags, parameters, 1) != 0;
  return !is_broken_;
}

void PipeWireStream::close() {
  if (!stream_) return;
  is_running_ = false;
  const PipeWireConnection::Lock lock(*connection_);
  spa_hook_remove(&listener_);
  pw_stream_destroy(stream_);  // No cycle of it is under way on return.
  stream_ = nullptr;
  if (idle_) pw_loop_destroy_source(connection_->loop(), idle_);
  idle_ = nullptr;
}

void PipeWireStream::start() {
  last_cycle_ = Clock::now().time_since_epoch().count();
  is_running_ = true;
  set_active(true);
}

void PipeWireStream::set_active(bool active) {
  const PipeWireConnection::Lock lock(*connection_);
  if (stream_) pw_stream_set_active(stream_, active);
}

bool PipeWireStream::is_moving() const {
  const Clock::time_point last{Clock::duration(last_cycle_.load())};
  return !is_broken_ && Clock::now() - last < kStall;
}

void PipeWireStream::on_state(void* data, pw_stream_state, pw_stream_state state, const char*) {
  auto* self = static_cast<PipeWireStream*>(data);
  self->is_broken_ = state == PW_STREAM_STATE_ERROR || state == PW_STREAM_STATE_UNCONNECTED;
}

void PipeWireStream::on_idle(void* data, uint64_t) {
  auto* self = static_cast<PipeWireStream*>(data);
  if (!self->is_running_ && self->stream_) pw_stream_set_active(self->stream_, false);
}

void PipeWireStream::on_process(void* data) {
  auto* self = static_cast<PipeWireStream*>(data);
  self->last_cycle_ = Clock::now().time_since_epoch().count();
  pw_buffer* buffer = pw_stream_dequeue_buffer(self->stream_);
  if (buffer) {
    if (buffer->buffer->n_datas > 0 && buffer->buffer->datas[0].data) self->process(*buffer);
    pw_stream_queue_buffer(self->stream_, buffer);
  }
  self->note_delay();
  eventfd_write(self->event_.get(), 1);
}

void PipeWireStream::note_delay() {
  pw_time time{};
  if (pw_stream_get_time_n(stream_, &time, sizeof time) != 0 || time.rate.denom == 0) return;
  const int64_t ticks = std::clamp<int64_t>(time.delay, 0, int64_t{10} * time.rate.denom);
  const auto frames = static_cast<uint64_t>(ticks) * time.rate.num * format_.sample_rate / time.rate.denom;
  delay_ = static_cast<uint32_t>(frames) * frame_size_;
}

// What the guest plays.

bool PipeWireOutput::prepare(const Format& format) {
  // In bytes of the format.
  const bool is_other = !(format == format_);
  if (!open(format, kOutputRing)) return false;
  target_ = std::max(is_other ? 0 : target_.load(), bytes_in(kLeastTarget));
  return true;
}

std::optional<uint64_t> PipeWireOutput::ready() {
  if (!is_moving()) return {};
  const size_t target = std::min<size_t>(target_, ring_.capacity()), fill = ring_.fill();
  return target > fill ? target - fill : 0;
}

uint32_t PipeWireOutput::latency() {
  return static_cast<uint32_t>(ring_.fill()) + delay_;
}

bool PipeWireOutput::write(std::span<const std::byte> frames) {
  return is_moving() && ring_.write(frames) == frames.size();
}

void PipeWireOutput::process(pw_buffer& buffer) {
  spa_data& data = buffer.buffer->datas[0];
  uint64_t frames = data.maxsize / frame_size_;
  if (buffer.requested != 0) frames = std::min(frames, buffer.requested);
  const auto size = static_cast<uint32_t>(frames) * frame_size_;
  if (size * kTargetCycles > target_) target_ = size * kTargetCycles;
  const std::span<std::byte> out(static_cast<std::byte*>(data.data), size);
  const size_t count = ring_.read(out);
  std::ranges::fill(out.subspan(count), silence(format_.sample_format));
  data.chunk->offset = 0;
  data.chunk->stride = static_cast<int32_t>(frame_size_);
  data.chunk->size = size;
  empty_cycles_ = count == 0 && !is_running_ ? empty_cycles_ + 1 : 0;
  if (empty_cycles_ == kEmptyCycles) tell_idle();
}

// What the guest records.

bool PipeWireInput::prepare(const Format& format) {
  if (!open(format, kInputRing)) return false;
  ring_.clear();
  return true;
}

void PipeWireInput::stop() {
  is_running_ = false;
  set_active(false);
}

std::optional<uint64_t> PipeWireInput::ready() {
  if (!is_moving()) return {};
  return ring_.fill();
}

uint32_t PipeWireInput::latency() {
  return static_cast<uint32_t>(ring_.fill()) + delay_;
}

bool PipeWireInput::read(std::span<std::byte> frames) {
  const size_t count = ring_.read(frames);
  std::ranges::fill(frames.subspan(count), silence(format_.sample_format));
  return count == frames.size();
}

void PipeWireInput::process(pw_buffer& buffer) {
  const spa_data& data = buffer.buffer->datas[0];
  if (!is_running_ || data.maxsize == 0) return;
  const uint32_t offset = std::min(data.chunk->offset, data.maxsize);
  const uint32_t size = std::min(data.chunk->size, data.maxsize - offset);
  const size_t room = std::min<size_t>(size, ring_.capacity() - ring_.fill());
  ring_.write({static_cast<const std::byte*>(data.data) + offset, room / frame_size_ * frame_size_});
}

}  // namespace alcove::audio
