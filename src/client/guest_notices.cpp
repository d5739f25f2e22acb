#include "client/guest_notices.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "client/socket_pair.h"
#include "config/guest_readiness.h"
#include "control/messages.h"

namespace alcove::client {
namespace {

constexpr size_t kLongestMessage = 4096;
// Others are refused meanwhile: any program of the guest may connect.
constexpr size_t kMostSpeakers = 16;

bool says_ready(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line == "READY=1") return true;
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return false;
}

}  // namespace

GuestNotices::~GuestNotices() {
  for (const Speaker& speaker : speakers_) loop_.unwatch(speaker.socket.get());
}

bool GuestNotices::take(const config::Json& message) {
  if (control::text_of(message, "event") != "socket_request" ||
      control::number_of(message, "port") != config::kReadinessPort)
    return false;
  std::vector<UniqueFd> descriptors;
  auto pair = connection_pair();
  if (pair && speakers_.size() < kMostSpeakers) {
    descriptors.push_back(std::move(pair->second));
    const auto speaker = speakers_.insert(speakers_.end(), {std::move(pair->first), ""});
    loop_.watch(speaker->socket.get(), EPOLLIN, [this, speaker](uint32_t) { read(speaker); });
  }
  send_({{"request", "answer_socket"}, {"connection", control::number_of(message, "connection").value_or(0)}},
        std::move(descriptors));
  return true;
}

void GuestNotices::read(std::list<Speaker>::iterator speaker) {
  std::array<char, kLongestMessage> buffer;
  const ssize_t count = ::recv(speaker->socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) speaker->text.append(buffer.data(), static_cast<size_t>(count));
  if (count > 0 && speaker->text.size() <= kLongestMessage) return;
  // The message ends with its connection.
  const bool is_ready = count == 0 && says_ready(speaker->text);
  loop_.unwatch(speaker->socket.get());
  speakers_.erase(speaker);
  if (is_ready) ready_();
}

}  // namespace alcove::client
