// Ctrl-] in what the user types: the key behind it is for us, not for the guest.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace alcove::cli {

class EscapeFilter {
 public:
  static constexpr char kEscape = 0x1d;  // Ctrl-]

  // Gives what goes to the guest; calls `opened` after a Ctrl-] and `command` with the key behind it, each
  // when its turn comes. Ctrl-] twice sends one to the guest.
  std::string feed(std::string_view typed, const std::function<void()>& opened,
                   const std::function<void(char)>& command) {
    std::string out;
    for (const char key : typed) {
      if (!escaped_ && key == kEscape) {
        escaped_ = true;
        opened();
      } else if (escaped_ && key != kEscape) {
        escaped_ = false;
        command(key);
      } else {
        escaped_ = false;
        out += key;
      }
    }
    return out;
  }

 private:
  bool escaped_ = false;
};

}  // namespace alcove::cli
