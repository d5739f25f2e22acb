#include "view/web/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace alcove::view::web {

namespace {

// "core/rfb.js": nothing that leads elsewhere.
bool is_script_path(std::string_view path) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
  };
  return path.size() < 256 && path.ends_with(".js") && std::ranges::all_of(path, allowed) &&
         !path.contains("..") && !path.starts_with('/') && !path.contains("//");
}

// 1 for what is none, or none that a screen has.
double pixel_ratio(std::string_view query) {
  constexpr std::string_view kName = "ratio=";
  constexpr double kLeast = 0.25, kMost = 8;
  if (!query.starts_with(kName)) return 1;
  query.remove_prefix(kName.size());
  double ratio = 0;
  const auto [end, error] = std::from_chars(query.data(), query.data() + query.size(), ratio);
  const bool is_number = error == std::errc() && end == query.data() + query.size();
  return is_number && ratio >= kLeast && ratio <= kMost ? ratio : 1;
}

}  // namespace

bool is_same(std::string_view a, std::string_view b) {
  unsigned difference = a.size() != b.size();
  for (size_t i = 0; i < b.size(); ++i)
    difference |= static_cast<unsigned char>(b[i] ^ (i < a.size() ? a[i] : '\0'));
  return difference == 0;
}

Decision decide(const Request& request, std::string_view token, uint16_t port) {
  const std::string address = fmt::format("127.0.0.1:{}", port), name = fmt::format("localhost:{}", port);
  if (request.host != address && request.host != name) return {Answer::forbidden, {}};
  const bool is_own = request.origin == "http://" + std::string(request.host);
  if (!request.origin.empty() && !is_own) return {Answer::forbidden, {}};
  if (request.method != "GET") return {Answer::not_allowed, {}};
  std::string_view target = request.target.substr(0, request.target.find('?'));
  const std::string_view query = request.target.substr(std::min(target.size() + 1, request.target.size()));
  if (target.size() <= token.size() + 1 || target[0] != '/' ||
      !is_same(target.substr(1, token.size()), token) || target[token.size() + 1] != '/')
    return {Answer::forbidden, {}};
  target.remove_prefix(token.size() + 2);
  // Browsers always tell the origin here.
  if (target == "socket" || target == "clipboard") {
    if (!request.is_upgrade || !is_own) return {Answer::forbidden, {}};
    return {.answer = target == "socket" ? Answer::socket : Answer::clipboard,
            .file = {},
            .pixel_ratio = pixel_ratio(query)};
  }
  if (request.is_upgrade) return {Answer::forbidden, {}};
  if (target.empty()) return {Answer::page, {}};
  if (target == "view.js") return {Answer::script, {}};
  constexpr std::string_view kLibrary = "novnc/";
  if (!target.starts_with(kLibrary) || !is_script_path(target.substr(kLibrary.size()))) return {};
  return {Answer::file, std::filesystem::path(target.substr(kLibrary.size()))};
}

}  // namespace alcove::view::web
