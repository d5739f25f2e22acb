// Sends and receives over TCP; what counts is what has arrived.
// usage: network serve PORT        on the host, until it is ended
//        network SECONDS ADDRESS:PORT ROW…   prints net-to-host and net-from-host in MB/s
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "row.h"

namespace {

constexpr size_t kPiece = 256 << 10;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

sockaddr_in address_of(const std::string& text, const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  inet_pton(AF_INET, text.c_str(), &address.sin_addr);
  return address;
}

// The first byte says what is wanted: 'g' that all is taken, and its size told; 't' that bytes are sent.
void serve(int connection) {
  std::vector<char> data(kPiece);
  char what = 0;
  if (::read(connection, &what, 1) == 1 && what == 'g') {
    uint64_t total = 0;
    for (ssize_t count; (count = ::read(connection, data.data(), data.size())) > 0;)
      total += static_cast<uint64_t>(count);
    (void)!::write(connection, &total, sizeof total);
  } else if (what == 't') {
    while (::write(connection, data.data(), data.size()) > 0) continue;
  }
  ::close(connection);
}

int serve_all(const std::string& port) {
  std::signal(SIGPIPE, SIG_IGN);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = address_of("127.0.0.1", port);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 8) != 0)
    give_up("listen");
  while (true) {
    const int connection = ::accept(listener, nullptr, nullptr);
    if (connection >= 0) std::thread(serve, connection).detach();
  }
}

int connect_to(const sockaddr_in& address, char what) {
  const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::write(connection, &what, 1) != 1)
    give_up("connect");
  return connection;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  if (!std::strcmp(arguments[1], "serve")) return serve_all(arguments[2]);
  const std::string host = arguments[2];
  const size_t colon = host.find(':');
  const sockaddr_in address = address_of(host.substr(0, colon), host.substr(colon + 1));
  const double seconds = std::atof(arguments[1]);
  arguments[2] = arguments[1];
  const bench::Rows rows(count - 1, arguments + 1);
  std::vector<char> data(kPiece, 'x');
  if (rows.wants("net-to-host")) {
    const int connection = connect_to(address, 'g');
    uint64_t sent = 0, arrived = 0;
    const double begin = now();
    while (now() - begin < seconds) {
      const ssize_t written = ::write(connection, data.data(), data.size());
      if (written <= 0) give_up("write");
      sent += static_cast<uint64_t>(written);
    }
    ::shutdown(connection, SHUT_WR);
    if (::recv(connection, &arrived, sizeof arrived, MSG_WAITALL) != sizeof arrived) give_up("read");
    const double took = now() - begin;
    if (sent != arrived) {
      rows.fail("net-to-host", arrived, sent);
    } else {
      rows.print("net-to-host", "MB/s", static_cast<double>(arrived) / took / 1e6);
    }
    ::close(connection);
  }
  if (rows.wants("net-from-host")) {
    const int connection = connect_to(address, 't');
    uint64_t arrived = 0;
    const double begin = now();
    while (now() - begin < seconds) {
      const ssize_t received = ::read(connection, data.data(), data.size());
      if (received <= 0) give_up("read");
      arrived += static_cast<uint64_t>(received);
    }
    rows.print("net-from-host", "MB/s", static_cast<double>(arrived) / (now() - begin) / 1e6);
    ::close(connection);
  }
}
