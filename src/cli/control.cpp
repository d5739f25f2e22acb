#include "cli/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/output.h"

namespace alcove::cli {

bool send_line(int socket, const nlohmann::json& message) {
  const std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t count = ::send(socket, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

Result<nlohmann::json> receive_line(int socket, std::string& rest) {
  constexpr size_t kMaximum = 65536;
  size_t end;
  while ((end = rest.find('\n')) == std::string::npos) {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(socket, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || rest.size() > kMaximum) {
      return fail(ErrorCode::internal, "", "the machine's background process went away or does not answer");
    }
    rest.append(buffer.data(), static_cast<size_t>(count));
  }
  nlohmann::json message = nlohmann::json::parse(rest.substr(0, end), nullptr, false);
  rest.erase(0, end + 1);
  if (!message.is_object())
    return fail(ErrorCode::internal, "", "the machine's background process sent no JSON object");
  return message;
}

Result<nlohmann::json> ask(int socket, const nlohmann::json& request, std::string& rest) {
  if (!send_line(socket, request))
    return fail(ErrorCode::internal, "", "the machine's background process went away");
  auto reply = receive_line(socket, rest);
  if (reply && reply->contains("error")) return std::unexpected(error_from_json((*reply)["error"]));
  return reply;
}

}  // namespace alcove::cli
