#include <alcove/remote_view.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "support/thread.h"
#include "view/server.h"

namespace alcove {

using view::asio::ip::tcp;

namespace {

namespace fs = std::filesystem;
constexpr uint16_t kFirstVncPort = 5900, kLastVncPort = 5999;

Result<fs::path> find_novnc(const std::string& given) {
  std::vector<fs::path> folders;
  const char* named = std::getenv("ALCOVE_NOVNC");
  if (!given.empty()) {
    folders.emplace_back(given);
  } else if (named && *named) {
    folders.emplace_back(named);
  } else {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (!error) folders.push_back(program.parent_path().parent_path() / "share/alcove/novnc");
    folders.emplace_back("/usr/share/novnc");
  }
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (fs::exists(folder / "core/rfb.js", error)) return folder;
  }
  return fail(ErrorCode::not_supported, "", fmt::format("there is no noVNC in {}", folders.back().string()),
              "apt-get install --no-install-recommends novnc, or set ALCOVE_NOVNC to a folder with it");
}

std::string make_token() {
  std::array<uint8_t, 20> random{};
  while (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
  }
  std::string token;
  for (const uint8_t byte : random) token += fmt::format("{:02x}", byte);
  return token;
}

}  // namespace

class RemoteView::Implementation {
 public:
  Implementation(VirtualMachine& machine, GraphicsDisplay& display, std::string name)
      : subject_{machine, display, std::move(name)} {}
  ~Implementation() {
    if (!thread_.joinable()) return;
    observation_ = {};  // Nothing is posted after that.
    view::asio::post(loop_, [this] {
      boost::system::error_code ignored;
      acceptor_.close(ignored);
      if (server_) server_->close();
      loop_.stop();
    });
    thread_.join();
  }

  Result<> listen(const RemoteViewOptions& options);
  const std::string& address() const { return address_; }

 private:
  Result<> bind(uint16_t first, uint16_t last);
  void accept();

  const view::Subject subject_;
  view::asio::io_context loop_{1};
  tcp::acceptor acceptor_{loop_};
  std::unique_ptr<view::Server> server_;
  std::string address_;
  std::thread thread_;
  Observation observation_;
};

Result<> RemoteView::Implementation::bind(uint16_t first, uint16_t last) {
  boost::system::error_code error;
  for (unsigned port = first; port <= last; ++port) {
    const tcp::endpoint endpoint(view::asio::ip::address_v4::loopback(), static_cast<uint16_t>(port));
    acceptor_.open(tcp::v4(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(view::asio::socket_base::max_listen_connections, error);
    if (!error) return {};
    boost::system::error_code ignored;
    acceptor_.close(ignored);
  }
  return fail(ErrorCode::network_error, "", fmt::format("can't listen on port {}: {}", last, error.message()),
              "choose another port, or none");
}

Result<> RemoteView::Implementation::listen(const RemoteViewOptions& options) {
  const bool is_web = options.protocol == RemoteViewProtocol::web;
  fs::path folder;
  if (is_web) {
    auto found = find_novnc(options.novnc_folder);
    if (!found) return std::unexpected(std::move(found.error()));
    folder = *std::move(found);
  }
  const bool any_vnc = !is_web && options.port == 0;
  const uint16_t first = any_vnc ? kFirstVncPort : options.port;
  if (auto bound = bind(first, any_vnc ? kLastVncPort : first); !bound) return bound;
  const uint16_t port = acceptor_.local_endpoint().port();
  address_ = fmt::format("127.0.0.1:{}", port);
  if (is_web) {
    const std::string token = make_token();
    server_ = view::make_web_server(loop_, subject_, {.folder = folder, .token = token, .port = port});
    address_ = fmt::format("http://{}/{}/", address_, token);
  } else {
    server_ = view::make_rfb_server(loop_, subject_);
  }
  accept();
  thread_ = start_thread("alcove-view", [this] { loop_.run(); });
  observation_ = subject_.machine.observe({.clipboard_changed = [this](Clipboard& clipboard) {
    ClipboardContents contents = clipboard.contents();
    if (contents.is_empty()) return;
    view::asio::post(loop_, [this, contents = std::move(contents)] { server_->clipboard_changed(contents); });
  }});
  return {};
}

void RemoteView::Implementation::accept() {
  acceptor_.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!error) server_->accept(std::move(socket));
    accept();
  });
}

Result<std::unique_ptr<RemoteView>> RemoteView::create(VirtualMachine& machine, RemoteViewOptions options) {
  const auto display = view::find_display(machine, options.display);
  if (!display) return std::unexpected(display.error());
  const auto& label = machine.configuration().label;
  auto implementation = std::make_unique<Implementation>(machine, **display, label.value_or("Alcove"));
  if (auto listening = implementation->listen(options); !listening)
    return std::unexpected(std::move(listening.error()));
  return std::unique_ptr<RemoteView>(new RemoteView(std::move(implementation)));
}

RemoteView::RemoteView(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
RemoteView::~RemoteView() = default;

const std::string& RemoteView::address() const {
  return implementation_->address();
}

}  // namespace alcove
