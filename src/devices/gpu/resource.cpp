#include "devices/gpu/resource.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace alcove::devices::gpu {

using spec::virtio::GpuFormat;

namespace {

constexpr uint64_t kPixelSize = sizeof(uint32_t);

bool is_known(uint32_t format) {
  switch (static_cast<GpuFormat>(format)) {
    case GpuFormat::b8g8r8a8:
    case GpuFormat::b8g8r8x8:
    case GpuFormat::a8r8g8b8:
    case GpuFormat::x8r8g8b8:
    case GpuFormat::r8g8b8a8:
    case GpuFormat::x8b8g8r8:
    case GpuFormat::a8b8g8r8:
    case GpuFormat::r8g8b8x8:
      return true;
  }
  return false;
}

// Reads a list of pieces from an offset on.
class PieceReader {
 public:
  PieceReader(std::span<const Piece> pieces, uint64_t offset) : pieces_(pieces) { skip(offset); }
  void skip(uint64_t size) {
    while (!pieces_.empty() && size >= pieces_[0].size - done_) {
      size -= pieces_[0].size - done_;
      done_ = 0;
      pieces_ = pieces_.subspan(1);
    }
    if (!pieces_.empty()) done_ += static_cast<uint32_t>(size);
  }
  void read(std::span<std::byte> out) {
    while (!out.empty() && !pieces_.empty()) {
      const size_t size = std::min<size_t>(out.size(), pieces_[0].size - done_);
      std::memcpy(out.data(), pieces_[0].host + done_, size);
      out = out.subspan(size);
      skip(size);
    }
  }

 private:
  std::span<const Piece> pieces_;
  uint32_t done_ = 0;  // Of the first.
};

}  // namespace

bool Resource::contains(const GpuRectangle& rectangle) const {
  return rectangle.width != 0 && rectangle.height != 0 && rectangle.x < size.width &&
         rectangle.y < size.height && rectangle.width <= size.width - rectangle.x &&
         rectangle.height <= size.height - rectangle.y;
}

bool Resource::transfer(const GpuRectangle& rectangle, uint64_t offset) {
  const uint64_t stride = size.width * kPixelSize;
  const uint64_t row = rectangle.width * kPixelSize;
  const uint64_t extent = stride * (rectangle.height - 1) + row;  // At most kMostBytes.
  if (offset > backing_size || extent > backing_size - offset) return false;
  PieceReader reader(backing, offset);
  const auto bytes = std::as_writable_bytes(std::span(pixels));
  const uint64_t first = rectangle.y * stride + rectangle.x * kPixelSize;
  if (row == stride) {
    reader.read(bytes.subspan(first, extent));
    return true;
  }
  for (uint32_t y = 0; y < rectangle.height; ++y) {
    reader.read(bytes.subspan(first + y * stride, row));
    reader.skip(stride - row);
  }
  return true;
}

void Resource::read_row(uint32_t x, uint32_t y, std::span<uint32_t> out, bool with_alpha) const {
  const uint32_t* in = &pixels[size_t{y} * size.width + x];
  const uint32_t mask = with_alpha ? 0xffffffff : 0xffffff;
  const auto convert = [&](auto one) {
    std::transform(in, in + out.size(), out.begin(), [&](uint32_t pixel) { return one(pixel) & mask; });
  };
  switch (format) {
    case GpuFormat::b8g8r8a8:
    case GpuFormat::b8g8r8x8:
      return convert([](uint32_t p) { return p; });
    case GpuFormat::a8r8g8b8:
    case GpuFormat::x8r8g8b8:
      return convert([](uint32_t p) { return std::byteswap(p); });
    case GpuFormat::r8g8b8a8:
    case GpuFormat::r8g8b8x8:
      return convert([](uint32_t p) { return (p & 0xff00ff00) | (p & 0xff) << 16 | (p >> 16 & 0xff); });
    case GpuFormat::a8b8g8r8:
    case GpuFormat::x8b8g8r8:
      return convert([](uint32_t p) { return std::rotr(p, 8); });
  }
}

GpuResponse Resources::create(uint32_t id, uint32_t format, uint32_t width, uint32_t height) {
  if (id == 0 || resources_.contains(id)) return GpuResponse::invalid_resource_id;
  if (!is_known(format) || width == 0 || height == 0) return GpuResponse::invalid_parameter;
  constexpr uint32_t kMostExtent = 16384;
  if (width > kMostExtent || height > kMostExtent) return GpuResponse::invalid_parameter;
  const uint64_t size = uint64_t{width} * height * kPixelSize;
  if (size > kMostBytes - bytes_ || resources_.size() >= kMostResources) return GpuResponse::out_of_memory;
  resources_.emplace(id, Resource{.size = {width, height},
                                  .format = static_cast<GpuFormat>(format),
                                  .pixels = std::vector<uint32_t>(size_t{width} * height)});
  bytes_ += size;
  return GpuResponse::no_data;
}

GpuResponse Resources::attach(uint32_t id, std::vector<Piece> pieces) {
  Resource* resource = find(id);
  if (!resource) return GpuResponse::invalid_resource_id;
  if (!resource->backing.empty()) return GpuResponse::unspecified;  // It has one already.
  if (pieces.size() > kMostPiecesInAll - pieces_) return GpuResponse::out_of_memory;
  pieces_ += pieces.size();
  resource->backing = std::move(pieces);
  for (const Piece& piece : resource->backing) resource->backing_size += piece.size;
  return GpuResponse::no_data;
}

GpuResponse Resources::detach(uint32_t id) {
  Resource* resource = find(id);
  if (!resource) return GpuResponse::invalid_resource_id;
  pieces_ -= resource->backing.size();
  resource->backing = {};
  resource->backing_size = 0;
  return GpuResponse::no_data;
}

bool Resources::destroy(uint32_t id) {
  if (detach(id) != GpuResponse::no_data) return false;
  const auto found = resources_.find(id);
  bytes_ -= found->second.pixels.size() * kPixelSize;
  resources_.erase(found);
  return true;
}

void Resources::clear() {
  resources_.clear();
  bytes_ = 0;
  pieces_ = 0;
}

Resource* Resources::find(uint32_t id) {
  const auto found = resources_.find(id);
  return found == resources_.end() ? nullptr : &found->second;
}

}  // namespace alcove::devices::gpu
