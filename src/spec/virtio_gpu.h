// Wire facts of the virtio GPU without 3D (virtio 1.2, section 5.7). No behaviour.
#pragma once

#include <array>
#include <cstdint>

namespace alcove::spec::virtio {

inline constexpr uint64_t kGpuFeatureEdid = uint64_t{1} << 1;

// Section 5.7.2, queues.
inline constexpr unsigned kGpuControlQueue = 0;
inline constexpr unsigned kGpuCursorQueue = 1;

inline constexpr uint32_t kGpuMaximumScanouts = 16;

// Section 5.7.4, configuration layout.
struct GpuConfiguration {
  uint32_t events_read;
  uint32_t events_clear;
  uint32_t num_scanouts;
  uint32_t num_capsets;
};
static_assert(sizeof(GpuConfiguration) == 16);
inline constexpr uint32_t kGpuEventDisplay = 1;

// Section 5.7.6.7, requests and responses.
enum class GpuCommand : uint32_t {
  get_display_info = 0x100,
  resource_create_2d,
  resource_unref,
  set_scanout,
  resource_flush,
  transfer_to_host_2d,
  resource_attach_backing,
  resource_detach_backing,
  get_capset_info,
  get_capset,
  get_edid,
  update_cursor = 0x300,
  move_cursor,
};
enum class GpuResponse : uint32_t {
  no_data = 0x1100,
  display_info,
  capset_info,
  capset,
  edid,
  unspecified = 0x1200,
  out_of_memory,
  invalid_scanout_id,
  invalid_resource_id,
  invalid_context_id,
  invalid_parameter,
};

inline constexpr uint32_t kGpuFlagFence = 1;

struct GpuHeader {
  uint32_t type;
  uint32_t flags;
  uint64_t fence_id;
  uint32_t ctx_id;
  uint8_t ring_idx;
  uint8_t padding[3];
};
static_assert(sizeof(GpuHeader) == 24);

struct GpuRectangle {
  uint32_t x;
  uint32_t y;
  uint32_t width;
  uint32_t height;
};
static_assert(sizeof(GpuRectangle) == 16);

// Section 5.7.6.8. Each follows a GpuHeader.
struct GpuDisplayInfo {
  GpuRectangle rectangle;
  uint32_t enabled;
  uint32_t flags;
};
using GpuDisplayInfos = std::array<GpuDisplayInfo, kGpuMaximumScanouts>;
static_assert(sizeof(GpuDisplayInfos) == 384);

struct GpuGetEdid {
  uint32_t scanout;
  uint32_t padding;
};
struct GpuEdid {
  uint32_t size;
  uint32_t padding;
  uint8_t edid[1024];
};
static_assert(sizeof(GpuEdid) == 1032);

struct GpuResourceCreate2d {
  uint32_t resource_id;
  uint32_t format;
  uint32_t width;
  uint32_t height;
};
struct GpuResource {  // Of RESOURCE_UNREF and RESOURCE_DETACH_BACKING.
  uint32_t resource_id;
  uint32_t padding;
};
struct GpuSetScanout {
  GpuRectangle rectangle;
  uint32_t scanout_id;
  uint32_t resource_id;  // 0: off.
};
struct GpuResourceFlush {
  GpuRectangle rectangle;
  uint32_t resource_id;
  uint32_t padding;
};
struct GpuTransferToHost2d {
  GpuRectangle rectangle;
  uint64_t offset;
  uint32_t resource_id;
  uint32_t padding;
};
static_assert(sizeof(GpuTransferToHost2d) == 32);
struct GpuAttachBacking {  // Followed by that many entries.
  uint32_t resource_id;
  uint32_t nr_entries;
};
struct GpuMemoryEntry {
  uint64_t address;
  uint32_t length;
  uint32_t padding;
};
static_assert(sizeof(GpuMemoryEntry) == 16);

// Pixel formats by the order of bytes in memory.
enum class GpuFormat : uint32_t {
  b8g8r8a8 = 1,
  b8g8r8x8 = 2,
  a8r8g8b8 = 3,
  x8r8g8b8 = 4,
  r8g8b8a8 = 67,
  x8b8g8r8 = 68,
  a8b8g8r8 = 121,
  r8g8b8x8 = 134,
};

// Section 5.7.6.10.
struct GpuCursorPosition {
  uint32_t scanout_id;
  uint32_t x;
  uint32_t y;
  uint32_t padding;
};
struct GpuUpdateCursor {  // MOVE_CURSOR uses the position alone.
  GpuCursorPosition position;
  uint32_t resource_id;  // 0: hidden.
  uint32_t hot_x;
  uint32_t hot_y;
  uint32_t padding;
};
static_assert(sizeof(GpuUpdateCursor) == 32);
inline constexpr uint32_t kGpuCursorExtent = 64;

}  // namespace alcove::spec::virtio
