// Pictures that the guest makes in host memory, and the guest memory that it fills them from.
#pragma once

#include <alcove/graphics.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "spec/virtio_gpu.h"

namespace alcove::devices::gpu {

using spec::virtio::GpuRectangle;
using spec::virtio::GpuResponse;

// A piece of guest memory that lies wholly in one region.
struct Piece {
  const std::byte* host = nullptr;
  uint32_t size = 0;
};

struct Resource {
  DisplaySize size;
  spec::virtio::GpuFormat format;
  std::vector<uint32_t> pixels;  // As the guest wrote them.
  std::vector<Piece> backing;
  uint64_t backing_size = 0;

  bool contains(const GpuRectangle& rectangle) const;
  // Copies a rectangle that it contains from its backing, whose `offset` is where the rectangle's first row
  // begins; false, with nothing copied, if the backing does not hold all of it.
  bool transfer(const GpuRectangle& rectangle, uint64_t offset);
  // Pixels from (x, y) on in one row, as 0x00RRGGBB, or 0xAARRGGBB: then also of formats without alpha, since
  // Linux makes its cursors with such.
  void read_row(uint32_t x, uint32_t y, std::span<uint32_t> out, bool with_alpha) const;
};

// All of them, within what a guest may have.
class Resources {
 public:
  static constexpr uint64_t kMostBytes = 256 << 20;
  static constexpr size_t kMostResources = 4096;
  static constexpr uint32_t kMostPieces = 32768;  // Of one resource.
  static constexpr uint64_t kMostPiecesInAll = 1 << 19;

  // Nothing wrong: no_data.
  GpuResponse create(uint32_t id, uint32_t format, uint32_t width, uint32_t height);
  GpuResponse attach(uint32_t id, std::vector<Piece> pieces);
  GpuResponse detach(uint32_t id);
  bool destroy(uint32_t id);  // False if there is none.
  void clear();
  Resource* find(uint32_t id);  // Null if there is none.

 private:
  std::map<uint32_t, Resource> resources_;
  uint64_t bytes_ = 0;
  uint64_t pieces_ = 0;
};

}  // namespace alcove::devices::gpu
