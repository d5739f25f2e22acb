// One end of connections, in a guest or on the host, linked statically. Addresses are vsock:CID:PORT and
// unix:PATH.
//
//   socket_peer serve ADDRESS COUNT    takes all that each of COUNT connections that bring anything sends up
//   to
//                                      its end, then answers with "BYTES HASH" and as many bytes as it got
//   socket_peer send ADDRESS BYTES [SECONDS]   sends to such a one, and checks the answer; tries again, up to
//                                      so long, where nobody listens yet
//   socket_peer storm ADDRESS COUNT    does that with COUNT connections, one after another
//   socket_peer hold ADDRESS COUNT     with COUNT connections at one time
//   socket_peer refused ADDRESS        nobody listens there
//   socket_peer say ADDRESS TEXT       sends that, and no more
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const char* doing) {
  std::printf("socket_peer: wrong: %s: %s\n", doing, std::strerror(errno));
  std::exit(1);
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address parse(const std::string& text) {
  Address address;
  unsigned cid = 0, port = 0;
  if (text.starts_with("unix:") && text.size() - 5 < sizeof(sockaddr_un::sun_path)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    text.copy(name.sun_path, text.size() - 5, 5);
    std::memcpy(&address.storage, &name, address.size = sizeof name);
  } else if (std::sscanf(text.c_str(), "vsock:%u:%u", &cid, &port) == 2) {
    sockaddr_vm name{};
    name.svm_family = AF_VSOCK;
    name.svm_cid = cid;
    name.svm_port = port;
    std::memcpy(&address.storage, &name, address.size = sizeof name);
  } else {
    give_up("an address");
  }
  return address;
}

int make_socket(const Address& address) {
  const int socket = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
  if (socket < 0) give_up("socket");
  return socket;
}

// Bytes that anybody can make again, and what was seen of them.
class Stream {
 public:
  void make(std::vector<char>& bytes) {
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      std::memcpy(&bytes[i], &state_, 8);
    }
  }
  void see(const char* bytes, size_t size) {
    bytes_ += size;
    for (; size >= 8; bytes += 8, size -= 8) {
      uint64_t word;
      std::memcpy(&word, bytes, 8);
      mix(word);
    }
    for (; size > 0; ++bytes, --size) mix(static_cast<unsigned char>(*bytes));
  }
  uint64_t bytes() const { return bytes_; }
  std::string summary() const { return std::to_string(bytes_) + " " + std::to_string(hash_) + "\n"; }

 private:
  void mix(uint64_t word) { hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15u, hash_ ^= hash_ >> 29; }
  uint64_t state_ = 12345, hash_ = 1, bytes_ = 0;
};

// Pieces as large as they were made, whatever the socket gives.
size_t read_whole(int socket, std::vector<char>& bytes) {
  size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t count = ::read(socket, &bytes[got], bytes.size() - got);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != ECONNRESET) give_up("read");
    if (count <= 0) break;
    got += static_cast<size_t>(count);
  }
  return got;
}

// False where nobody reads any more.
bool write_whole(int socket, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t count = ::write(socket, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;
    if (count < 0) give_up("write");
    bytes += count, size -= static_cast<size_t>(count);
  }
  return true;
}

constexpr size_t kPiece = 65536;

void write_stream(int socket, Stream& stream, uint64_t size) {
  std::vector<char> bytes(kPiece);
  for (; size > 0; size -= std::min<uint64_t>(size, kPiece)) {
    stream.make(bytes);
    const auto count = static_cast<size_t>(std::min<uint64_t>(size, kPiece));
    stream.see(bytes.data(), count);
    if (!write_whole(socket, bytes.data(), count)) return;
  }
}

void read_stream(int socket, Stream& stream) {
  std::vector<char> bytes(kPiece);
  while (const size_t count = read_whole(socket, bytes)) stream.see(bytes.data(), count);
}

// Whether anything came.
bool serve(int socket) {
  Stream heard, said;
  read_stream(socket, heard);
  if (heard.bytes() > 0) {
    write_whole(socket, heard.summary().data(), heard.summary().size());
    write_stream(socket, said, heard.bytes());
  }
  ::close(socket);
  return heard.bytes() > 0;
}

void listen(const Address& address, unsigned count) {
  const int listener = make_socket(address);
  if (::bind(listener, address.get(), address.size) != 0 || ::listen(listener, 128) != 0) give_up("listen");
  while (count > 0) {
    const int socket = ::accept(listener, nullptr, nullptr);
    if (socket < 0) give_up("accept");
    count -= serve(socket);
  }
}

// False where nobody was there.
bool finish(int socket, const Stream& said) {
  ::shutdown(socket, SHUT_WR);
  std::string summary;
  char next;
  while (::read(socket, &next, 1) == 1) {
    summary += next;
    if (next == '\n') break;
  }
  Stream heard;
  if (!summary.empty()) read_stream(socket, heard);
  ::close(socket);
  if (summary.empty()) return false;
  if (summary != said.summary() || heard.summary() != said.summary()) {
    std::printf("socket_peer: wrong: said %sheard %sand of it %s", said.summary().c_str(),
                heard.summary().c_str(), summary.c_str());
    std::exit(1);
  }
  return true;
}

int connect(const Address& address) {
  const int socket = make_socket(address);
  if (::connect(socket, address.get(), address.size) == 0) return socket;
  ::close(socket);
  return -1;
}

void send(const Address& address, uint64_t size, double seconds) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (true) {
    const auto begin = Clock::now();
    if (const int socket = connect(address); socket >= 0) {
      Stream said;
      // A bridge takes the connection, and ends it where the guest does not listen.
      std::vector<char> none;
      write_stream(socket, said, size);
      if (finish(socket, said)) {
        const std::chrono::duration<double> took = Clock::now() - begin;
        std::printf("socket_peer: %llu bytes each way in %.3f s\n", static_cast<unsigned long long>(size),
                    took.count());
        return;
      }
    }
    if (Clock::now() > end) give_up("nobody listens");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void hold(const Address& address, unsigned count) {
  std::vector<int> sockets;
  for (unsigned i = 0; i < count; ++i) {
    sockets.push_back(connect(address));
    if (sockets.back() < 0) give_up("connect");
  }
  for (int socket : sockets) {
    Stream said;
    write_stream(socket, said, 16);
    if (!finish(socket, said)) give_up("no answer");
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  ::signal(SIGPIPE, SIG_IGN);
  const std::string command = count > 2 ? arguments[1] : "";
  const Address address = parse(count > 2 ? arguments[2] : "");
  const uint64_t number = count > 3 ? std::strtoull(arguments[3], nullptr, 0) : 0;
  if (command == "serve") {
    listen(address, static_cast<unsigned>(number));
  } else if (command == "send") {
    send(address, number, count > 4 ? std::atof(arguments[4]) : 0);
  } else if (command == "storm") {
    const auto begin = Clock::now();
    for (uint64_t i = 0; i < number; ++i) hold(address, 1);
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::printf("socket_peer: %llu connections in %.3f s\n", static_cast<unsigned long long>(number),
                took.count());
  } else if (command == "hold") {
    hold(address, static_cast<unsigned>(number));
  } else if (command == "say" && count > 3) {
    const int socket = connect(address);
    if (socket < 0 || !write_whole(socket, arguments[3], std::strlen(arguments[3]))) give_up("say");
  } else if (command == "refused") {
    const int socket = connect(address);
    char next;
    // A bridge's socket takes everybody.
    if (socket >= 0 && ::read(socket, &next, 1) == 1) give_up("was not refused");
    if (socket >= 0 && address.storage.ss_family == AF_VSOCK) give_up("was not refused");
  } else {
    give_up("a command");
  }
  return 0;
}
