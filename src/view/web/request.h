// What a browser may ask for, decided without the connection.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace alcove::view::web {

struct Request {
  std::string_view method;
  std::string_view target;
  std::string_view host;    // The header of this name, as the next.
  std::string_view origin;  // Empty if there is none.
  bool is_upgrade = false;  // To a WebSocket.
};

enum class Answer {
  page,
  script,
  file,    // Decision::file, of noVNC.
  socket,  // The request is to be upgraded, and so is the next.
  clipboard,
  not_found,
  forbidden,
  not_allowed,  // The method.
};

struct Decision {
  Answer answer = Answer::not_found;
  std::filesystem::path file;
  // Of the screen's pixels to those of the page, as the socket's address tells it: "socket?ratio=1.5".
  double pixel_ratio = 1;
};

// Paths begin with the token. Whoever does not know it learns nothing, and neither do pages of other origins
// nor names that were made to lead to this address.
Decision decide(const Request& request, std::string_view token, uint16_t port);

// Compares in a time that does not tell how much is right.
bool is_same(std::string_view a, std::string_view b);

}  // namespace alcove::view::web
