#include "devices/gpu/renderer.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace alcove::devices::gpu {

using namespace spec::virtio;

namespace {

template <class T>
std::optional<T> read(const virtio::Chain& chain, size_t offset) {
  T value;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  if (chain.read(offset, bytes) != sizeof(T)) return std::nullopt;
  return value;
}

// What follows the header.
template <class T>
std::optional<T> body(const virtio::Chain& chain) {
  return read<T>(chain, sizeof(GpuHeader));
}

template <class T>
void append(std::vector<std::byte>& out, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Section 5.7.6.7: the response has the request's fence if that had one.
uint32_t respond(virtio::Chain& chain, const GpuHeader& request, GpuResponse type,
                 std::span<const std::byte> payload) {
  GpuHeader header{.type = static_cast<uint32_t>(type)};
  if (request.flags & kGpuFlagFence) {
    header.flags = kGpuFlagFence;
    header.fence_id = request.fence_id;
    header.ctx_id = request.ctx_id;
  }
  const size_t written = chain.write(0, std::as_bytes(std::span(&header, 1)));
  return static_cast<uint32_t>(written + chain.write(sizeof header, payload));
}

}  // namespace

Renderer::Renderer(const Monitors& monitors, std::vector<std::unique_ptr<display::Display>> displays)
    : monitors_(monitors), cursor_visible_(displays.size()) {
  for (auto& display : displays) scanouts_.emplace_back(std::move(display));
}

uint32_t Renderer::execute_control(virtio::Chain& chain) {
  const auto header = read<GpuHeader>(chain, 0);
  if (!header) return respond(chain, {}, GpuResponse::unspecified, {});
  std::vector<std::byte> payload;
  const GpuResponse response = dispatch(chain, header->type, payload);
  return respond(chain, *header, response, payload);
}

GpuResponse Renderer::dispatch(const virtio::Chain& chain, uint32_t type, std::vector<std::byte>& payload) {
  switch (static_cast<GpuCommand>(type)) {
    case GpuCommand::get_display_info:
      return display_info(payload);
    case GpuCommand::resource_create_2d:
      return create_2d(chain);
    case GpuCommand::resource_unref:
      return unref(chain);
    case GpuCommand::set_scanout:
      return set_scanout(chain);
    case GpuCommand::resource_flush:
      return flush(chain);
    case GpuCommand::transfer_to_host_2d:
      return transfer(chain);
    case GpuCommand::resource_attach_backing:
      return attach_backing(chain);
    case GpuCommand::resource_detach_backing:
      return detach_backing(chain);
    case GpuCommand::get_edid:
      return edid(chain, payload);
    case GpuCommand::get_capset_info:  // There are none.
    case GpuCommand::get_capset:
      return GpuResponse::invalid_parameter;
    case GpuCommand::update_cursor:  // These belong to the other queue.
    case GpuCommand::move_cursor:
      break;
  }
  return GpuResponse::unspecified;
}

GpuResponse Renderer::display_info(std::vector<std::byte>& payload) const {
  GpuDisplayInfos infos{};
  uint32_t x = 0;  // Beside each other.
  for (size_t i = 0; i < monitors_.count(); ++i) {
    const Mode mode = monitors_.mode(i);
    infos[i] = {.rectangle = {x, 0, mode.width, mode.height}, .enabled = 1, .flags = 0};
    x += mode.width;
  }
  append(payload, infos);
  return GpuResponse::display_info;
}

GpuResponse Renderer::edid(const virtio::Chain& chain, std::vector<std::byte>& payload) const {
  const auto request = body<GpuGetEdid>(chain);
  if (!request) return GpuResponse::unspecified;
  if (request->scanout >= monitors_.count()) return GpuResponse::invalid_scanout_id;
  const Edid made = make_edid(monitors_.mode(request->scanout), request->scanout + 1);
  GpuEdid reply{.size = static_cast<uint32_t>(made.size())};
  std::ranges::copy(made, std::begin(reply.edid));
  append(payload, reply);
  return GpuResponse::edid;
}

GpuResponse Renderer::create_2d(const virtio::Chain& chain) {
  const auto request = body<GpuResourceCreate2d>(chain);
  if (!request) return GpuResponse::unspecified;
  return resources_.create(request->resource_id, request->format, request->width, request->height);
}

GpuResponse Renderer::unref(const virtio::Chain& chain) {
  const auto request = body<spec::virtio::GpuResource>(chain);
  if (!request) return GpuResponse::unspecified;
  for (Scanout& scanout : scanouts_) {
    if (scanout.is_on() && scanout.resource_id() == request->resource_id) scanout.turn_off();
  }
  return resources_.destroy(request->resource_id) ? GpuResponse::no_data : GpuResponse::invalid_resource_id;
}

GpuResponse Renderer::set_scanout(const virtio::Chain& chain) {
  const auto request = body<GpuSetScanout>(chain);
  if (!request) return GpuResponse::unspecified;
  if (request->scanout_id >= scanouts_.size()) return GpuResponse::invalid_scanout_id;
  Scanout& scanout = scanouts_[request->scanout_id];
  if (request->resource_id == 0) {
    scanout.turn_off();
    return GpuResponse::no_data;
  }
  const Resource* resource = resources_.find(request->resource_id);
  if (!resource) return GpuResponse::invalid_resource_id;
  const GpuRectangle& rectangle = request->rectangle;
  if (!resource->contains(rectangle) || rectangle.width > display::kMaximumExtent ||
      rectangle.height > display::kMaximumExtent)
    return GpuResponse::invalid_parameter;
  scanout.show(request->resource_id, rectangle);
  return GpuResponse::no_data;
}

GpuResponse Renderer::flush(const virtio::Chain& chain) {
  const auto request = body<GpuResourceFlush>(chain);
  if (!request) return GpuResponse::unspecified;
  const Resource* resource = resources_.find(request->resource_id);
  if (!resource) return GpuResponse::invalid_resource_id;
  if (!resource->contains(request->rectangle)) return GpuResponse::invalid_parameter;
  for (Scanout& scanout : scanouts_) {
    if (scanout.is_on() && scanout.resource_id() == request->resource_id) scanout.flush(request->rectangle);
  }
  return GpuResponse::no_data;
}

GpuResponse Renderer::transfer(const virtio::Chain& chain) {
  const auto request = body<GpuTransferToHost2d>(chain);
  if (!request) return GpuResponse::unspecified;
  Resource* resource = resources_.find(request->resource_id);
  if (!resource) return GpuResponse::invalid_resource_id;
  if (!resource->contains(request->rectangle)) return GpuResponse::invalid_parameter;
  return resource->transfer(request->rectangle, request->offset) ? GpuResponse::no_data
                                                                 : GpuResponse::invalid_parameter;
}

GpuResponse Renderer::attach_backing(const virtio::Chain& chain) {
  const auto request = body<GpuAttachBacking>(chain);
  if (!request) return GpuResponse::unspecified;
  constexpr size_t kEntries = sizeof(GpuHeader) + sizeof(GpuAttachBacking);
  if (request->nr_entries > Resources::kMostPieces) return GpuResponse::out_of_memory;
  const size_t size = request->nr_entries * sizeof(GpuMemoryEntry);
  if (chain.readable_size() < kEntries + size) return GpuResponse::unspecified;
  std::vector<GpuMemoryEntry> entries(request->nr_entries);
  if (chain.read(kEntries, std::as_writable_bytes(std::span(entries))) != size)
    return GpuResponse::unspecified;
  std::vector<Piece> pieces;
  pieces.reserve(entries.size());
  for (const GpuMemoryEntry& entry : entries) {
    if (entry.length == 0) continue;
    const std::byte* host = memory_->host_range(entry.address, entry.length);
    if (!host) return GpuResponse::invalid_parameter;
    pieces.push_back({host, entry.length});
  }
  return resources_.attach(request->resource_id, std::move(pieces));
}

GpuResponse Renderer::detach_backing(const virtio::Chain& chain) {
  const auto request = body<spec::virtio::GpuResource>(chain);
  return request ? resources_.detach(request->resource_id) : GpuResponse::unspecified;
}

uint32_t Renderer::execute_cursor(virtio::Chain& chain) {
  const auto header = read<GpuHeader>(chain, 0);
  if (!header) return respond(chain, {}, GpuResponse::unspecified, {});
  GpuResponse response = GpuResponse::unspecified;
  if (header->type == static_cast<uint32_t>(GpuCommand::update_cursor)) response = cursor(chain, true);
  if (header->type == static_cast<uint32_t>(GpuCommand::move_cursor)) response = cursor(chain, false);
  return respond(chain, *header, response, {});
}

GpuResponse Renderer::cursor(const virtio::Chain& chain, bool with_shape) {
  const auto request = body<GpuUpdateCursor>(chain);
  if (!request) return GpuResponse::unspecified;
  const GpuCursorPosition& position = request->position;
  if (position.scanout_id >= scanouts_.size()) return GpuResponse::invalid_scanout_id;
  Scanout& scanout = scanouts_[position.scanout_id];
  if (with_shape) {
    cursor_visible_[position.scanout_id] = request->resource_id != 0;
    if (request->resource_id != 0) {
      const Resource* resource = resources_.find(request->resource_id);
      if (!resource) return GpuResponse::invalid_resource_id;
      if (resource->size != DisplaySize{kGpuCursorExtent, kGpuCursorExtent})
        return GpuResponse::invalid_parameter;
      scanout.set_cursor_shape(*resource, std::min(request->hot_x, kGpuCursorExtent - 1),
                               std::min(request->hot_y, kGpuCursorExtent - 1));
    }
  }
  scanout.move_cursor(cursor_visible_[position.scanout_id], position.x, position.y);
  return GpuResponse::no_data;
}

void Renderer::publish() {
  for (Scanout& scanout : scanouts_) {
    if (!scanout.has_news()) continue;
    if (const Resource* resource = resources_.find(scanout.resource_id())) scanout.publish(*resource);
  }
}

bool Renderer::has_news() const {
  return std::ranges::any_of(scanouts_, &Scanout::has_news);
}

void Renderer::reset() {
  for (size_t i = 0; i < scanouts_.size(); ++i) {
    scanouts_[i].turn_off();
    if (cursor_visible_[i]) scanouts_[i].move_cursor(false, 0, 0);
    cursor_visible_[i] = false;
  }
  resources_.clear();
  memory_ = nullptr;
}

}  // namespace alcove::devices::gpu
