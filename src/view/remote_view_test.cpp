// Views of the fake machine, whose display is all of one colour, over real sockets.
#include <alcove/alcove.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "support/testing/temporary_folder.h"
#include "support/unique_fd.h"
#include "view/rfb/testing/client.h"

namespace alcove {
namespace {

class Peer {
 public:
  explicit Peer(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    is_connected = ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }
  // As many, or fewer where the other side ends before.
  std::string receive(size_t size) {
    std::string bytes(size, '\0');
    size_t done = 0;
    while (done < size) {
      const ssize_t count = ::recv(socket_.get(), bytes.data() + done, size - done, 0);
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    bytes.resize(done);
    return bytes;
  }
  std::string ask(const std::string& request) {
    send(request);
    std::string answer;
    while (!answer.contains("\r\n\r\n")) {
      const std::string byte = receive(1);
      if (byte.empty()) break;
      answer += byte;
    }
    return answer;
  }
  bool is_connected = false;

 private:
  UniqueFd socket_;
};

struct RemoteViewTest : ::testing::Test {
  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  std::unique_ptr<VirtualMachine> machine;

  RemoteViewTest() {
    std::ofstream(folder / "kernel") << "kernel";
    std::filesystem::create_directories(folder / "novnc/core");
    std::ofstream(folder / "novnc/core/rfb.js") << "// noVNC";
    machine = VirtualMachine::create(
                  {.label = "seen",
                   .boot_loader = LinuxBootLoader{.kernel = folder / "kernel", .command_line = "agent"},
                   .graphics_devices = {VirtioGraphicsDeviceConfiguration{
                       .scanouts = {{.width = 64, .height = 64}}}},
                   .console_devices = {VirtioConsoleDeviceConfiguration{
                       .ports = {{.name = "com.redhat.spice.0", .attachment = SpiceAgentPortAttachment{}}}}},
                   .hypervisor = HypervisorChoice::soft},
                  {.machine_program = ALCOVE_FAKE_VM})
                  .value();
    std::promise<Result<>> started;
    machine->start([&](Result<> result) { started.set_value(std::move(result)); });
    EXPECT_TRUE(started.get_future().get());
  }
  std::unique_ptr<RemoteView> web() {
    return RemoteView::create(*machine, {.novnc_folder = folder / "novnc"}).value();
  }
  static uint16_t port_of(const RemoteView& view) {
    const size_t at = view.address().find("127.0.0.1:") + 10;
    return static_cast<uint16_t>(std::stoul(view.address().substr(at)));
  }
  // The address's path, which ends with '/'.
  static std::string path_of(const RemoteView& view) {
    return view.address().substr(view.address().find('/', 7));
  }
  static std::string get(const RemoteView& view, const std::string& path, const std::string& headers = "",
                         const std::string& host = "") {
    return Peer(port_of(view))
        .ask(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n", path,
                         host.empty() ? fmt::format("127.0.0.1:{}", port_of(view)) : host, headers));
  }
  static std::string upgrade(const std::string& origin) {
    return "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " +
           origin + "\r\n";
  }
};

TEST_F(RemoteViewTest, VncClientsSeeTheDisplay) {
  const auto view = RemoteView::create(*machine, {.protocol = RemoteViewProtocol::vnc}).value();
  Peer peer(port_of(*view));
  ASSERT_TRUE(peer.is_connected);
  EXPECT_EQ(peer.receive(12), "RFB 003.008\n");
  peer.send("RFB 003.008\n\1\1");
  EXPECT_EQ(peer.receive(2 + 4), std::string("\1\1\0\0\0\0", 6));
  EXPECT_EQ(peer.receive(24 + 4),
            std::string("\0\x40\0\x40\x20\x18\0\1\0\xff\0\xff\0\xff\x10\x8\0\0\0\0\0\0\0\4seen", 28));
  peer.send(std::string("\3\0\0\0\0\0\0\x40\0\x40", 10));
  view::rfb::testing::Client client;
  client.frame = {.size = {64, 64}, .pixels = std::vector<uint32_t>(64 * 64)};
  client.take(peer.receive(4 + 12 + 64 * 64 * 4));
  EXPECT_EQ(client.frame.pixels, std::vector<uint32_t>(64 * 64, 0x123456));
}

TEST_F(RemoteViewTest, ViewsComeAndGo) {
  std::string address;
  {
    const auto view = RemoteView::create(*machine, {.protocol = RemoteViewProtocol::vnc}).value();
    const auto second = RemoteView::create(*machine, {.protocol = RemoteViewProtocol::vnc}).value();
    EXPECT_NE(view->address(), second->address());
    const auto taken =
        RemoteView::create(*machine, {.protocol = RemoteViewProtocol::vnc, .port = port_of(*view)});
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::network_error);
    Peer peer(port_of(*view));
    peer.send("nonsense, not a version");
    peer.receive(12);
    EXPECT_EQ(peer.receive(1), "");  // Cut off.
    Peer held(port_of(*second));
    held.receive(12);
  }
  EXPECT_EQ(machine->state(), VirtualMachineState::running);
  EXPECT_FALSE(RemoteView::create(*machine, {.protocol = RemoteViewProtocol::vnc, .display = 1}));
  EXPECT_FALSE(RemoteView::create(*machine, {.novnc_folder = folder / "nowhere"}));
}

TEST_F(RemoteViewTest, PagesNeedTheToken) {
  const auto view = web();
  const std::string path = path_of(*view);
  EXPECT_TRUE(get(*view, path).starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get(*view, path).contains("Content-Security-Policy"));
  EXPECT_TRUE(get(*view, path + "view.js").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get(*view, path + "novnc/core/rfb.js").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get(*view, path + "novnc/core/none.js").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(get(*view, "/").starts_with("HTTP/1.1 403"));
  EXPECT_TRUE(get(*view, "/" + std::string(40, '0') + "/").starts_with("HTTP/1.1 403"));
  EXPECT_TRUE(get(*view, path, "", "evil.example").starts_with("HTTP/1.1 403"));
  EXPECT_FALSE(get(*view, path, "X: " + std::string(20000, 'x') + "\r\n").starts_with("HTTP/1.1 200"));
  EXPECT_NE(web()->address(), web()->address());
}

TEST_F(RemoteViewTest, SocketsNeedTokenAndOrigin) {
  const auto view = web();
  const std::string path = path_of(*view) + "socket",
                    own = fmt::format("http://127.0.0.1:{}", port_of(*view));
  EXPECT_TRUE(get(*view, path, upgrade(own)).starts_with("HTTP/1.1 101"));
  EXPECT_TRUE(get(*view, path, upgrade("http://evil.example")).starts_with("HTTP/1.1 403"));
  EXPECT_TRUE(get(*view, "/socket", upgrade(own)).starts_with("HTTP/1.1 403"));
  EXPECT_TRUE(get(*view, path).starts_with("HTTP/1.1 403"));
}

TEST_F(RemoteViewTest, SocketsCarryRfbInSmallMessages) {
  const auto view = web();
  const std::string request =
      fmt::format("GET {}socket HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}\r\n", path_of(*view), port_of(*view),
                  upgrade(fmt::format("http://127.0.0.1:{}", port_of(*view))));
  Peer peer(port_of(*view));
  EXPECT_TRUE(peer.ask(request).starts_with("HTTP/1.1 101"));
  EXPECT_EQ(peer.receive(14), "\x82\x0cRFB 003.008\n");
  peer.send(std::string("\x82\x8c\0\0\0\0", 6) + "RFB 003.008\n");  // Masked with zeros.
  EXPECT_EQ(peer.receive(4), "\x82\x02\x01\x01");
  // A message of 1 GiB is refused by its header alone: closing status 1009.
  peer.send(std::string("\x82\xff\0\0\0\0\x40\0\0\0\0\0\0\0", 14));
  EXPECT_EQ(peer.receive(4), "\x88\x02\x03\xf1");
  Peer unmasked(port_of(*view));
  unmasked.ask(request);
  unmasked.receive(14);
  unmasked.send("\x82\x01x");
  EXPECT_EQ(unmasked.receive(4), "\x88\x02\x03\xea");  // 1002: a protocol error.
}

// The guest copies what it is given, texts with "echo: " before.
TEST_F(RemoteViewTest, PagesShareTheirClipboard) {
  const auto view = web();
  const std::string request =
      fmt::format("GET {}clipboard HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}\r\n", path_of(*view), port_of(*view),
                  upgrade(fmt::format("http://127.0.0.1:{}", port_of(*view))));
  Peer page(port_of(*view)), other(port_of(*view));
  EXPECT_TRUE(page.ask(request).starts_with("HTTP/1.1 101"));
  EXPECT_TRUE(other.ask(request).starts_with("HTTP/1.1 101"));
  const auto masked = [](std::string_view message) {
    return fmt::format("\x82{}{}{}", static_cast<char>(0x80 | message.size()), std::string(4, '\0'), message);
  };
  page.send(masked(std::string_view("\0\0\0\2hi", 6)));
  for (Peer* const peer : {&page, &other})
    EXPECT_EQ(peer->receive(14), std::string("\x82\x0c\0\0\0\x08"
                                             "echo: hi",
                                             14));
  const std::string picture("\0\0\0\0\x89PNG\r\n\x1a\n and so on", 22);
  page.send(masked(picture));
  for (Peer* const peer : {&page, &other}) EXPECT_EQ(peer->receive(24), "\x82\x16" + picture);
  // What is none cuts the page off.
  page.send(masked(std::string_view("\0\0\0\7x", 5)));
  EXPECT_EQ(page.receive(1), "");
}

}  // namespace
}  // namespace alcove
