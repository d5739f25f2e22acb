#include "client/display.h"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>

#include "client/borrowed_reader.h"

namespace alcove::client {
namespace {

UniqueFd make_event() {
  return UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

std::unexpected<Error> no_event() {
  return fail(ErrorCode::internal, "", fmt::format("can't make an eventfd: {}", std::strerror(errno)));
}

class Reader final : public DisplayReader {
 public:
  Reader(std::shared_ptr<DisplayFiles> files, std::shared_ptr<UniqueFd> event)
      : files_(std::move(files)), event_(std::move(event)) {
    eventfd_write(event_->get(), 1);
  }
  int descriptor() const override { return event_->get(); }
  std::vector<DisplayRectangle> read(DisplayFrame& frame) override {
    eventfd_t count = 0;
    eventfd_read(event_->get(), &count);  // First: what comes from now on is told anew.
    return files_->memory().read(frame, position_);
  }
  DisplayCursor cursor(uint64_t known_shape) override { return files_->memory().read_cursor(known_shape); }
  Result<> lend(int socket) const override {
    auto frames = files_->memory().read_only_descriptor();
    if (!frames) return std::unexpected(std::move(frames.error()));
    return lend_display(socket, frames->get(), event_->get());
  }

 private:
  const std::shared_ptr<DisplayFiles> files_;
  const std::shared_ptr<UniqueFd> event_;
  display::FrameMemory::Position position_;
};

}  // namespace

Result<std::shared_ptr<DisplayFiles>> DisplayFiles::create() {
  auto memory = display::FrameMemory::create();
  if (!memory) return std::unexpected(std::move(memory.error()));
  UniqueFd changed = make_event();
  if (!changed) return no_event();
  return std::shared_ptr<DisplayFiles>(new DisplayFiles(*std::move(memory), std::move(changed)));
}

void DisplayFiles::clear() {
  memory_.begin_frame({});
  memory_.end_frame({});
  memory_.set_cursor_position(false, 0, 0);
}

Result<std::shared_ptr<UniqueFd>> DisplayFiles::add_reader() {
  auto event = std::make_shared<UniqueFd>(make_event());
  if (!*event) return no_event();
  const std::lock_guard lock(mutex_);
  std::erase_if(readers_, [](const auto& reader) { return reader.expired(); });
  readers_.push_back(event);
  return event;
}

void DisplayFiles::wake() {
  const std::lock_guard lock(mutex_);
  for (const auto& reader : readers_) {
    if (const auto event = reader.lock()) eventfd_write(event->get(), 1);
  }
}

Result<GraphicsFiles> open_displays(const VirtualMachineConfiguration& configuration) {
  GraphicsFiles files;
  for (const GraphicsDeviceConfiguration& device : configuration.graphics_devices) {
    auto& displays = files.emplace_back();
    const auto& scanouts = std::get<VirtioGraphicsDeviceConfiguration>(device).scanouts;
    for (size_t index = 0; index < scanouts.size(); ++index) {
      auto display = DisplayFiles::create();
      if (!display) {
        display.error().where = fmt::format("graphics_devices[{}].scanouts[{}]", files.size() - 1, index);
        return std::unexpected(std::move(display.error()));
      }
      displays.push_back(*std::move(display));
    }
  }
  return files;
}

GraphicsDisplayProxy::GraphicsDisplayProxy(DeviceRequests& requests, Place place,
                                           VirtioGraphicsScanoutConfiguration configuration,
                                           std::shared_ptr<DisplayFiles> files,
                                           std::function<void(GraphicsDisplay&)> did_begin)
    : requests_(requests),
      place_(place),
      configured_(configuration),
      files_(std::move(files)),
      did_begin_(std::move(did_begin)),
      asked_(configuration) {}

DisplaySize GraphicsDisplayProxy::size_in_pixels() const {
  const DisplaySize shown = files_->memory().size();
  if (shown != DisplaySize{}) return shown;
  const std::lock_guard lock(mutex_);
  return {asked_.width, asked_.height};
}

DisplaySize GraphicsDisplayProxy::asked_size() const {
  const std::lock_guard lock(mutex_);
  return {asked_.width, asked_.height};
}

uint32_t GraphicsDisplayProxy::pixels_per_inch() const {
  const std::lock_guard lock(mutex_);
  return asked_.pixels_per_inch;
}

void GraphicsDisplayProxy::reconfigure(VirtioGraphicsScanoutConfiguration configuration,
                                       Completion<> completion) {
  config::Json request = {
      {"request", "reconfigure_display"}, {"device", place_.device},
      {"display", place_.display},        {"width", configuration.width},
      {"height", configuration.height},   {"pixels_per_inch", configuration.pixels_per_inch}};
  requests_.request_for_device(std::move(request), [this, configuration, completion = std::move(completion)](
                                                       Result<config::Json> reply) mutable {
    if (!reply) return completion(std::unexpected(std::move(reply.error())));
    {
      const std::lock_guard lock(mutex_);
      asked_ = configuration;
    }
    did_begin_(*this);
    completion({});
  });
}

Result<DisplayFrame> GraphicsDisplayProxy::frame() const {
  DisplayFrame frame;
  display::FrameMemory::Position start;
  files_->memory().read(frame, start);
  if (frame.pixels.empty()) {
    return fail(ErrorCode::invalid_virtual_machine_state, "",
                "the guest has not shown anything on this display", "wait until its driver is loaded");
  }
  return frame;
}

Result<std::unique_ptr<DisplayReader>> GraphicsDisplayProxy::open_reader() {
  auto event = files_->add_reader();
  if (!event) return std::unexpected(std::move(event.error()));
  return std::make_unique<Reader>(files_, *std::move(event));
}

void GraphicsDisplayProxy::reset() {
  files_->clear();
  const std::lock_guard lock(mutex_);
  asked_ = configured_;
  last_size_ = {};
}

bool GraphicsDisplayProxy::changed() {
  eventfd_t count = 0;
  eventfd_read(files_->changed(), &count);
  files_->wake();
  const DisplaySize size = files_->memory().size();
  const std::lock_guard lock(mutex_);
  if (size == last_size_ || size == DisplaySize{}) return false;
  last_size_ = size;
  return true;
}

}  // namespace alcove::client
