// Accepts connections, and keeps those that live so that they can be ended.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "view/connection.h"

namespace alcove::view {

inline constexpr size_t kMostConnections = 32;

class Connections {
 public:
  // False if there are too many.
  bool add(const std::shared_ptr<Closable>& connection) {
    std::erase_if(all_, [](const auto& one) { return one.expired(); });
    if (all_.size() >= kMostConnections) return false;
    all_.push_back(connection);
    return true;
  }
  void clipboard_changed(const ClipboardContents& contents) {
    for (const auto& one : all_) {
      if (const auto connection = one.lock()) connection->clipboard_changed(contents);
    }
  }
  void close() {
    for (const auto& one : all_) {
      if (const auto connection = one.lock()) connection->close();
    }
  }

 private:
  std::vector<std::weak_ptr<Closable>> all_;
};

// One kind of server, driven by the view's loop.
class Server {
 public:
  virtual ~Server() = default;
  // Takes a new connection over.
  virtual void accept(tcp::socket socket) = 0;
  virtual void close() = 0;
  virtual void clipboard_changed(const ClipboardContents& contents) = 0;
};

std::unique_ptr<Server> make_rfb_server(asio::io_context& loop, const Subject& subject);

struct WebOptions {
  std::filesystem::path folder;  // Of noVNC.
  std::string token;             // What paths begin with.
  uint16_t port = 0;
};
std::unique_ptr<Server> make_web_server(asio::io_context& loop, const Subject& subject, WebOptions options);

}  // namespace alcove::view
