// A hostile browser: the input's first byte chooses whether the rest is an HTTP request, or what comes over a
// WebSocket, which is handed on to an RFB session.
#include <boost/asio/io_context.hpp>
#include <boost/beast/_experimental/test/stream.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "view/rfb/session.h"
#include "view/rfb/testing/fake_screen.h"
#include "view/web/limits.h"
#include "view/web/request.h"

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
namespace web = alcove::view::web;
using boost::system::error_code;

std::string_view text(beast::string_view from) {
  return {from.data(), from.size()};
}

void ask(std::string_view input) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(web::kMostHeaderBytes);
  error_code error;
  parser.put(boost::asio::buffer(input.data(), input.size()), error);
  if (error || !parser.is_header_done()) return;
  const auto& request = parser.get();
  constexpr std::string_view kToken = "t0ken";
  const auto decision = web::decide({.method = text(request.method_string()),
                                     .target = text(request.target()),
                                     .host = text(request[http::field::host]),
                                     .origin = text(request[http::field::origin]),
                                     .is_upgrade = websocket::is_upgrade(request)},
                                    kToken, 80);
  const bool is_allowed =
      decision.answer != web::Answer::forbidden && decision.answer != web::Answer::not_allowed;
  if (is_allowed && !text(request.target()).starts_with("/t0ken/")) __builtin_trap();
  const bool is_socket = decision.answer == web::Answer::socket || decision.answer == web::Answer::clipboard;
  if (is_socket && text(request[http::field::origin]).empty()) __builtin_trap();
  if (decision.answer == web::Answer::file &&
      (decision.file.is_absolute() || decision.file.string().contains("..")))
    __builtin_trap();
}

void talk(std::string_view input) {
  boost::asio::io_context loop;
  beast::test::stream stream(loop), browser(loop);
  stream.connect(browser);
  const std::string hello =
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
      "13\r\n"
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
  error_code error;
  browser.write_some(boost::asio::buffer(hello), error);
  websocket::stream<beast::test::stream&> socket(stream);
  socket.read_message_max(web::kMostMessageBytes);
  socket.accept(error);
  if (error) __builtin_trap();
  browser.write_some(boost::asio::buffer(input.data(), input.size()), error);
  browser.close();
  alcove::view::rfb::testing::FakeScreen screen;
  alcove::view::rfb::Session session(screen);
  std::array<uint8_t, 4096> buffer;
  while (!error) {
    const size_t size = socket.read_some(boost::asio::buffer(buffer), error);
    if (!error && !session.receive(std::span(buffer).first(size))) break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  data[0] & 1 ? ask(input) : talk(input);
  return 0;
}
