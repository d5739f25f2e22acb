// What a client and the display's guest copy and paste: plain cut text (RFC 6143, sections 7.5.6 and 7.6.4)
// and the extended clipboard of the community's registry, of which text alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace alcove::view::rfb {

class CutText {
 public:
  // Most bytes of a message, and of the text in it.
  static constexpr size_t kMostMessage = 1 << 20;
  static constexpr size_t kMostText = 8 << 20;

  // The client knows the extended clipboard.
  void extend();
  bool is_extended() const { return extended_; }

  // What the guest copied, UTF-8.
  void set_guest_text(std::string text);
  // What the client sent behind a message's length; gives the text that it copied, if that is in it. Nothing,
  // and `broken`, for what is against the protocol.
  std::optional<std::string> take_plain(std::span<const uint8_t> body) const;
  std::optional<std::string> take_extended(std::span<const uint8_t> body, bool& broken);

  // Messages that are due.
  void append_output(std::string& out);

 private:
  bool extended_ = false;
  std::string guest_text_;
  // What the client is to be told next.
  bool capabilities_due_ = false, notification_due_ = false, request_due_ = false, contents_due_ = false;
};

}  // namespace alcove::view::rfb
