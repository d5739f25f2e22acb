#include "cli/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

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

bool send_descriptor(int socket, int descriptor, std::string_view text) {
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof descriptor)> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(text.size());
}

Result<UniqueFd> ask_for_descriptor(int socket, const nlohmann::json& request) {
  if (!send_line(socket, request))
    return fail(ErrorCode::internal, "", "the machine's background process went away");
  std::array<char, 4096> buffer{};
  iovec data{buffer.data(), buffer.size()};
  UniqueFd received;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t count;
  do {
    count = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  const cmsghdr* rights = count > 0 ? CMSG_FIRSTHDR(&header) : nullptr;
  if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
      rights->cmsg_len == CMSG_LEN(sizeof(int))) {
    int descriptor;
    std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
    received.reset(descriptor);
  }
  std::string rest(buffer.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)));
  auto reply = receive_line(socket, rest);
  if (!reply) return std::unexpected(reply.error());
  if (reply->contains("error")) return std::unexpected(error_from_json((*reply)["error"]));
  if (!received) return fail(ErrorCode::internal, "", "the machine's background process sent no descriptor");
  return received;
}

Result<nlohmann::json> ask(int socket, const nlohmann::json& request, std::string& rest) {
  if (!send_line(socket, request))
    return fail(ErrorCode::internal, "", "the machine's background process went away");
  auto reply = receive_line(socket, rest);
  if (reply && reply->contains("error")) return std::unexpected(error_from_json((*reply)["error"]));
  return reply;
}

Result<nlohmann::json> ask(const Bundle& bundle, const nlohmann::json& request) {
  auto socket = bundle.connect();
  if (!socket) return std::unexpected(socket.error());
  std::string rest;
  return ask(socket->get(), request, rest);
}

}  // namespace alcove::cli
