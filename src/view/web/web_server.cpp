// HTTP and WebSocket connections of browsers.
#include <boost/asio/dispatch.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>

#include "view/server.h"
#include "view/web/clipboard_socket.h"
#include "view/web/limits.h"
#include "view/web/page.h"
#include "view/web/request.h"

namespace alcove::view {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;

namespace {

using Response = http::response<http::string_body>;
using Parser = http::request_parser<http::empty_body>;

constexpr std::chrono::seconds kTimeForRequest{30};

std::string_view text(beast::string_view from) {
  return {from.data(), from.size()};
}

class WebSocketStream {
 public:
  using Socket = websocket::stream<beast::tcp_stream>;
  explicit WebSocketStream(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
  template <class Buffer, class Handler>
  void async_read_some(const Buffer& buffer, Handler handler) {
    socket_->async_read_some(buffer, std::move(handler));
  }
  template <class Buffer, class Handler>
  void async_write_all(const Buffer& buffer, Handler handler) {
    socket_->async_write(buffer, std::move(handler));
  }
  void close() { beast::get_lowest_layer(*socket_).close(); }

 private:
  std::unique_ptr<Socket> socket_;
};

class WebServer final : public Server {
 public:
  WebServer(asio::io_context& loop, const Subject& subject, WebOptions options)
      : loop_(loop), subject_(subject), options_(std::move(options)) {}

  void accept(tcp::socket socket) override;
  void close() override { connections_.close(); }
  void clipboard_changed(const ClipboardContents& contents) override {
    connections_.clipboard_changed(contents);
  }

  void upgrade(beast::tcp_stream stream, const http::request<http::empty_body>& request,
               const web::Decision& decision);
  Response respond(const http::request<http::empty_body>& request, const web::Decision& decision) const;
  const WebOptions& options() const { return options_; }

 private:
  void start(WebSocketStream::Socket& socket, const web::Decision& decision);

  asio::io_context& loop_;
  const Subject& subject_;
  const WebOptions options_;
  Connections connections_;
};

// Answers one request after another, until one becomes a WebSocket.
class HttpConnection final : public Closable, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(tcp::socket socket, WebServer& server) : stream_(std::move(socket)), server_(server) {}
  void close() override { stream_.close(); }

  void read() {
    parser_.emplace();
    parser_->header_limit(web::kMostHeaderBytes);
    stream_.expires_after(kTimeForRequest);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const error_code& error, size_t) {
                       error ? self->close() : self->answer();
                     });
  }

 private:
  void answer() {
    const auto& request = parser_->get();
    const web::Decision decision = web::decide({.method = text(request.method_string()),
                                                .target = text(request.target()),
                                                .host = text(request[http::field::host]),
                                                .origin = text(request[http::field::origin]),
                                                .is_upgrade = websocket::is_upgrade(request)},
                                               server_.options().token, server_.options().port);
    if (decision.answer == web::Answer::socket || decision.answer == web::Answer::clipboard)
      return server_.upgrade(std::move(stream_), request, decision);
    response_ = server_.respond(request, decision);
    http::async_write(stream_, response_, [self = shared_from_this()](const error_code& error, size_t) {
      error || !self->response_.keep_alive() ? self->close() : self->read();
    });
  }

  beast::tcp_stream stream_;
  WebServer& server_;
  beast::flat_static_buffer<web::kMostHeaderBytes> buffer_;
  std::optional<Parser> parser_;
  Response response_;
};

void WebServer::accept(tcp::socket socket) {
  const auto connection = std::make_shared<HttpConnection>(std::move(socket), *this);
  if (connections_.add(connection)) connection->read();
}

void WebServer::upgrade(beast::tcp_stream stream, const http::request<http::empty_body>& request,
                        const web::Decision& decision) {
  stream.expires_never();  // The WebSocket has its own.
  error_code ignored;
  stream.socket().set_option(tcp::no_delay(true), ignored);
  auto socket = std::make_shared<WebSocketStream::Socket>(std::move(stream));
  socket->set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
  socket->read_message_max(web::kMostMessageBytes);
  socket->binary(true);
  if (text(request[http::field::sec_websocket_protocol]).contains("binary")) {
    socket->set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(http::field::sec_websocket_protocol, "binary");
    }));
  }
  socket->async_accept(request, [this, socket, decision](const error_code& error) {
    if (!error) start(*socket, decision);
  });
}

void WebServer::start(WebSocketStream::Socket& socket, const web::Decision& decision) {
  if (decision.answer == web::Answer::clipboard) {
    const auto connection = std::make_shared<web::ClipboardSocket>(std::move(socket), subject_);
    if (connections_.add(connection)) connection->run();
    return;
  }
  auto viewer = Viewer::create(subject_, decision.pixel_ratio);
  if (!viewer) return;
  auto stream = WebSocketStream(std::make_unique<WebSocketStream::Socket>(std::move(socket)));
  const auto connection =
      std::make_shared<Connection<WebSocketStream>>(loop_, std::move(stream), *std::move(viewer));
  if (connections_.add(connection)) connection->run();
}

Response WebServer::respond(const http::request<http::empty_body>& request,
                            const web::Decision& decision) const {
  Response response(http::status::ok, request.version());
  response.keep_alive(request.keep_alive());
  response.set(http::field::content_type, "text/javascript; charset=utf-8");
  response.set(http::field::cache_control, "no-store");
  response.set("Referrer-Policy", "no-referrer");
  response.set("X-Content-Type-Options", "nosniff");
  const auto refuse = [&](http::status status, const char* why) {
    response.result(status);
    response.set(http::field::content_type, "text/plain");
    response.body() = why;
    response.keep_alive(false);
  };
  switch (decision.answer) {
    case web::Answer::page:
      response.set(http::field::content_type, "text/html; charset=utf-8");
      response.set("Content-Security-Policy", beast::string_view(web::kContentSecurityPolicy.data(),
                                                                 web::kContentSecurityPolicy.size()));
      response.body() = web::page(subject_.name);
      break;
    case web::Answer::script:
      response.body() = web::script();
      break;
    case web::Answer::file: {
      std::ifstream file(options_.folder / decision.file, std::ios::binary);
      if (file) {
        response.body().assign(std::istreambuf_iterator<char>(file), {});
      } else {
        refuse(http::status::not_found, "There is no such file.\n");
      }
      break;
    }
    case web::Answer::not_allowed:
      refuse(http::status::method_not_allowed, "Only GET is possible.\n");
      break;
    case web::Answer::forbidden:
      refuse(http::status::forbidden, "The address is not the one that was given.\n");
      break;
    case web::Answer::socket:
    case web::Answer::clipboard:
    case web::Answer::not_found:
      refuse(http::status::not_found, "There is no such page.\n");
      break;
  }
  response.prepare_payload();
  return response;
}

}  // namespace

std::unique_ptr<Server> make_web_server(asio::io_context& loop, const Subject& subject, WebOptions options) {
  return std::make_unique<WebServer>(loop, subject, std::move(options));
}

}  // namespace alcove::view
