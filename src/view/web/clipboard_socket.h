// The connection that carries a page's clipboard and the guest's to each other, beside the one of RFB, which
// knows texts only.
#pragma once

#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <memory>
#include <vector>

#include "view/connection.h"

namespace alcove::view::web {

class ClipboardSocket final : public Closable, public std::enable_shared_from_this<ClipboardSocket> {
 public:
  using Socket = boost::beast::websocket::stream<boost::beast::tcp_stream>;
  ClipboardSocket(Socket socket, const Subject& subject);

  void run() { read(); }
  void close() override;
  void clipboard_changed(const ClipboardContents& contents) override;

 private:
  void read();
  void flush();

  Socket socket_;
  const Subject& subject_;
  boost::beast::flat_buffer received_;
  // What the guest copied last and the page has not been sent; a slow one misses what came before.
  std::vector<uint8_t> waiting_, sending_;
};

}  // namespace alcove::view::web
