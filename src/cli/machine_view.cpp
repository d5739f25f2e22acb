#include "cli/machine_view.h"

#include <fmt/format.h>

#include <utility>

namespace alcove::cli {

Result<std::string> MachineView::open() {
  if (const auto* options = std::get_if<RemoteViewOptions>(&options_)) {
    if (!remote_) {
      auto made = RemoteView::create(running_.machine(), *options);
      if (!made) return std::unexpected(std::move(made.error()));
      remote_ = *std::move(made);
    }
    return fmt::format("the display is at {}", remote_->address());
  }
  if (!is_window() || (window_ && window_->is_open())) return "";
  window_.reset();
  WindowViewOptions options = std::get<WindowViewOptions>(options_);
  options.on_wish = [this](WindowWish wish) { running_.post([this, wish] { wished_(wish); }); };
  auto made = WindowView::create(running_.machine(), std::move(options));
  if (!made) return std::unexpected(std::move(made.error()));
  window_ = *std::move(made);
  return "";
}

}  // namespace alcove::cli
