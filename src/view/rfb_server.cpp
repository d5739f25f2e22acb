// Plain RFB over TCP.
#include <boost/asio/write.hpp>

#include "view/server.h"

namespace alcove::view {

namespace {

class TcpStream {
 public:
  explicit TcpStream(tcp::socket socket) : socket_(std::move(socket)) {}
  template <class Buffer, class Handler>
  void async_read_some(const Buffer& buffer, Handler handler) {
    socket_.async_read_some(buffer, std::move(handler));
  }
  template <class Buffer, class Handler>
  void async_write_all(const Buffer& buffer, Handler handler) {
    asio::async_write(socket_, buffer, std::move(handler));
  }
  void close() {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  tcp::socket socket_;
};

class RfbServer final : public Server {
 public:
  RfbServer(asio::io_context& loop, const Subject& subject) : loop_(loop), subject_(subject) {}

  void accept(tcp::socket socket) override {
    auto viewer = Viewer::create(subject_);
    if (!viewer) return;
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const auto connection =
        std::make_shared<Connection<TcpStream>>(loop_, TcpStream(std::move(socket)), *std::move(viewer));
    if (connections_.add(connection)) connection->run();
  }
  void close() override { connections_.close(); }
  void clipboard_changed(const ClipboardContents& contents) override {
    connections_.clipboard_changed(contents);
  }

 private:
  asio::io_context& loop_;
  const Subject& subject_;
  Connections connections_;
};

}  // namespace

std::unique_ptr<Server> make_rfb_server(asio::io_context& loop, const Subject& subject) {
  return std::make_unique<RfbServer>(loop, subject);
}

}  // namespace alcove::view
