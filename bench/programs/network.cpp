// Sends and receives over TCP or sockets of virtio; what counts is what has arrived.
// usage: network serve PORT SOCKET           on the host, until it is ended: on the loopback, as a UNIX
// socket, and
//                                            where the host's kernel serves guests' virtio sockets, to them
//        network SECONDS ADDRESS:PORT ROW…   prints net-to-host and net-from-host in MB/s; those of vsock
//        where
//                                            ADDRESS is "vsock"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
// Before the header that needs it.
#include <linux/vm_sockets.h>
#include <sys/un.h>
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

// Of whatever family.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  template <class Family>
  static Address of(const Family& address) {
    Address result;
    std::memcpy(&result.storage, &address, sizeof address);
    result.size = sizeof address;
    return result;
  }
};

Address tcp_address(const std::string& text, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, text.c_str(), &address.sin_addr);
  return Address::of(address);
}

Address vsock_address(unsigned cid, uint16_t port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return Address::of(address);
}

Address unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return Address::of(address);
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

bool listen_at(const Address& address) {
  const int listener = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener < 0 || ::bind(listener, address.get(), address.size) != 0 || ::listen(listener, 8) != 0)
    return false;
  std::thread([listener] {
    while (true) {
      const int connection = ::accept(listener, nullptr, nullptr);
      if (connection >= 0) std::thread(serve, connection).detach();
    }
  }).detach();
  return true;
}

int serve_all(uint16_t port, const std::string& path) {
  std::signal(SIGPIPE, SIG_IGN);
  ::unlink(path.c_str());
  if (!listen_at(tcp_address("127.0.0.1", port)) || !listen_at(unix_address(path))) give_up("listen");
  listen_at(vsock_address(VMADDR_CID_ANY, port));
  while (true) ::pause();
}

bool reaches(const Address& address) {
  const int connection = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
  const bool does = connection >= 0 && ::connect(connection, address.get(), address.size) == 0;
  ::close(connection);
  return does;
}

int connect_to(const Address& address, char what) {
  const int connection = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
  if (::connect(connection, address.get(), address.size) != 0 || ::write(connection, &what, 1) != 1)
    give_up("connect");
  return connection;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 2;
  const auto port_of = [](const std::string& text) { return static_cast<uint16_t>(std::stoi(text)); };
  if (!std::strcmp(arguments[1], "serve")) return serve_all(port_of(arguments[2]), arguments[3]);
  const std::string host = arguments[2];
  const size_t colon = host.find(':');
  const bool vsock = host.starts_with("vsock:");
  const uint16_t port = port_of(host.substr(colon + 1));
  const Address address =
      vsock ? vsock_address(VMADDR_CID_HOST, port) : tcp_address(host.substr(0, colon), port);
  const std::string to_host = vsock ? "vsock-to-host" : "net-to-host",
                    from_host = vsock ? "vsock-from-host" : "net-from-host";
  const double seconds = std::atof(arguments[1]);
  arguments[2] = arguments[1];
  const bench::Rows rows(count - 1, arguments + 1);
  if (vsock && !reaches(address)) {
    for (const std::string& row : {to_host, from_host}) rows.absent(row.c_str(), "no vhost_vsock");
    return 0;
  }
  std::vector<char> data(kPiece, 'x');
  if (rows.wants(to_host.c_str())) {
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
      rows.fail(to_host.c_str(), arrived, sent);
    } else {
      rows.print(to_host.c_str(), "MB/s", static_cast<double>(arrived) / took / 1e6);
    }
    ::close(connection);
  }
  if (rows.wants(from_host.c_str())) {
    const int connection = connect_to(address, 't');
    uint64_t arrived = 0;
    const double begin = now();
    while (now() - begin < seconds) {
      const ssize_t received = ::read(connection, data.data(), data.size());
      if (received <= 0) give_up("read");
      arrived += static_cast<uint64_t>(received);
    }
    rows.print(from_host.c_str(), "MB/s", static_cast<double>(arrived) / (now() - begin) / 1e6);
    ::close(connection);
  }
}
