// The page that a browser gets, around noVNC.
#pragma once

#include <string>
#include <string_view>

namespace alcove::view::web {

std::string page(std::string_view title);
std::string_view script();

// Nothing from anywhere else, and no address of this page to anywhere.
inline constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace alcove::view::web
