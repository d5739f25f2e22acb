#include "devices/gpu/gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::gpu {
namespace {

using namespace spec::virtio;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;

struct Monitor {
  display::FrameMemory memory = display::FrameMemory::create().value();
  display::FrameMemory::Position position;
  DisplayFrame frame;

  std::unique_ptr<display::Display> display() const {
    return std::make_unique<display::Display>(
        display::FrameMemory::open(UniqueFd(::dup(memory.descriptor()))).value(), UniqueFd());
  }
  const DisplayFrame& read() {
    memory.read(frame, position);
    return frame;
  }
};

std::vector<std::unique_ptr<display::Display>> displays(const Monitor& first, const Monitor& second) {
  std::vector<std::unique_ptr<display::Display>> all;
  all.push_back(first.display());
  all.push_back(second.display());
  return all;
}

struct GpuTest : ::testing::Test {
  Monitor first, second;
  Gpu device{{{640, 480, 96}, {320, 200, 200}}, displays(first, second)};
  FakeGuest guest;

  void SetUp() override { guest.activate(device, device.features()); }

  static Bytes command(GpuCommand type, const Bytes& body = {}, uint32_t flags = 0, uint64_t fence = 0) {
    Bytes bytes = bytes_of(GpuHeader{.type = static_cast<uint32_t>(type), .flags = flags, .fence_id = fence});
    bytes.insert(bytes.end(), body.begin(), body.end());
    return bytes;
  }
  Bytes ask(const Bytes& bytes, uint32_t room = 2048, unsigned queue = kGpuControlQueue) {
    const auto reply = guest.queue(queue).request({.readable = {bytes}, .writable = {room}});
    if (!reply) return {};
    Bytes answer = reply->writable[0];
    answer.resize(reply->length);
    return answer;
  }
  template <class Body>
  GpuResponse tell(GpuCommand type, const Body& body, unsigned queue = kGpuControlQueue) {
    return type_of(ask(command(type, bytes_of(body)), 2048, queue));
  }
  static GpuResponse type_of(const Bytes& answer) {
    GpuHeader header{};
    if (answer.size() >= sizeof header) std::memcpy(&header, answer.data(), sizeof header);
    return static_cast<GpuResponse>(header.type);
  }
  GpuResponse create(uint32_t id, uint32_t width, uint32_t height, GpuFormat format = GpuFormat::b8g8r8x8) {
    return tell(GpuCommand::resource_create_2d,
                spec::virtio::GpuResourceCreate2d{id, static_cast<uint32_t>(format), width, height});
  }
  GpuResponse attach(uint32_t id, const std::vector<GpuMemoryEntry>& entries) {
    Bytes body = bytes_of(GpuAttachBacking{id, static_cast<uint32_t>(entries.size())});
    for (const GpuMemoryEntry& entry : entries) {
      const Bytes bytes = bytes_of(entry);
      body.insert(body.end(), bytes.begin(), bytes.end());
    }
    return type_of(ask(command(GpuCommand::resource_attach_backing, body)));
  }
  GpuResponse transfer(uint32_t id, GpuRectangle part, uint64_t offset) {
    return tell(GpuCommand::transfer_to_host_2d, GpuTransferToHost2d{part, offset, id, 0});
  }
  GpuResponse scanout(uint32_t number, uint32_t id, GpuRectangle part) {
    return tell(GpuCommand::set_scanout, GpuSetScanout{part, number, id});
  }
  GpuResponse flush(uint32_t id, GpuRectangle part) {
    return tell(GpuCommand::resource_flush, GpuResourceFlush{part, id, 0});
  }
  // A resource whose backing has pixels 0, 1, 2… in pieces that cut through pixels.
  static constexpr uint64_t kBacking = 0x400000;
  void make(uint32_t id, uint32_t width, uint32_t height, GpuFormat format = GpuFormat::b8g8r8x8) {
    std::vector<uint32_t> pixels(size_t{width} * height);
    std::iota(pixels.begin(), pixels.end(), 0u);
    const auto bytes = std::as_bytes(std::span(pixels));
    ASSERT_EQ(create(id, width, height, format), GpuResponse::no_data);
    // In the reverse order in memory, so that order matters.
    const auto size = static_cast<uint32_t>(bytes.size());
    const std::array<uint32_t, 3> sizes = {6, 0, size - 6};
    ASSERT_TRUE(guest.memory().write(kBacking + 0x200000, bytes.first(6)));
    ASSERT_TRUE(guest.memory().write(kBacking, bytes.subspan(6)));
    ASSERT_EQ(attach(id, {{kBacking + 0x200000, sizes[0], 0}, {0, sizes[1], 0}, {kBacking, sizes[2], 0}}),
              GpuResponse::no_data);
    ASSERT_EQ(transfer(id, {0, 0, width, height}, 0), GpuResponse::no_data);
  }
  bool wait_for_frame(Monitor& monitor, DisplaySize size, const std::vector<uint32_t>& pixels) {
    return guest.interrupts().wait(
        [&] { return monitor.read().size == size && monitor.frame.pixels == pixels; });
  }
};

TEST_F(GpuTest, TellsOfItsMonitors) {
  const Bytes answer = ask(command(GpuCommand::get_display_info));
  ASSERT_EQ(type_of(answer), GpuResponse::display_info);
  ASSERT_EQ(answer.size(), sizeof(GpuHeader) + sizeof(GpuDisplayInfos));
  GpuDisplayInfos infos;
  std::memcpy(&infos, answer.data() + sizeof(GpuHeader), sizeof infos);
  EXPECT_EQ(infos[0].rectangle.width, 640u);
  EXPECT_EQ(infos[1].rectangle.x, 640u);
  EXPECT_EQ(infos[1].rectangle.height, 200u);
  EXPECT_TRUE(infos[1].enabled);
  EXPECT_FALSE(infos[2].enabled);
}

TEST_F(GpuTest, ResponsesHaveTheRequestsFence) {
  const Bytes answer = ask(command(GpuCommand::get_display_info, {}, kGpuFlagFence, 0x1234567890));
  GpuHeader header{};
  std::memcpy(&header, answer.data(), sizeof header);
  EXPECT_EQ(header.flags, kGpuFlagFence);
  EXPECT_EQ(header.fence_id, 0x1234567890u);
}

TEST_F(GpuTest, MonitorsHaveAnEdid) {
  const Bytes answer = ask(command(GpuCommand::get_edid, bytes_of(GpuGetEdid{1, 0})));
  ASSERT_EQ(type_of(answer), GpuResponse::edid);
  GpuEdid edid;
  std::memcpy(&edid, answer.data() + sizeof(GpuHeader), sizeof edid);
  ASSERT_EQ(edid.size, 128u);
  EXPECT_EQ(std::accumulate(edid.edid, edid.edid + 128, 0u) % 256, 0u);
  const uint8_t* timing = edid.edid + 54;
  EXPECT_EQ(timing[2] | (timing[4] & 0xf0) << 4, 320);
  EXPECT_EQ(timing[5] | (timing[7] & 0xf0) << 4, 200);
  EXPECT_EQ(timing[12] | (timing[14] & 0xf0) << 4, 41);  // 320 pixels at 200 an inch, in millimetres.
  EXPECT_EQ(timing[13] | (timing[14] & 0x0f) << 8, 25);
  EXPECT_EQ(tell(GpuCommand::get_edid, GpuGetEdid{2, 0}), GpuResponse::invalid_scanout_id);
}

TEST(EdidTest, LargestModesFit) {
  const Edid edid = make_edid({4095, 4095, 20}, 1);
  EXPECT_EQ(edid[54] | edid[55] << 8, 0xffff);  // The clock's field is full: fewer frames a second.
  EXPECT_EQ(edid[56] | (edid[58] & 0xf0) << 4, 4095);
  EXPECT_EQ(edid[21], 255);
}

TEST_F(GpuTest, ShowsWhatTheGuestDrew) {
  make(7, 4, 3);
  ASSERT_EQ(scanout(0, 7, {0, 0, 4, 3}), GpuResponse::no_data);
  ASSERT_EQ(flush(7, {0, 0, 4, 3}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {4, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(second.read().size, DisplaySize{});

  // A part of the resource, a part of it new: pixels change only where they are flushed.
  ASSERT_EQ(scanout(0, 7, {1, 1, 2, 2}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {2, 2}, {5, 6, 9, 10}));
  ASSERT_EQ(transfer(7, {0, 1, 4, 2}, 0), GpuResponse::no_data);  // Rows 0 and 1 of the backing to 1 and 2.
  ASSERT_EQ(flush(7, {2, 0, 2, 2}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {2, 2}, {5, 2, 9, 10}));
  ASSERT_EQ(scanout(0, 0, {}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {2, 2}, {0, 0, 0, 0}));
}

TEST_F(GpuTest, TransfersRectanglesFromAnOffset) {
  make(7, 4, 3);
  // To the right lower 2 by 2, from the backing's pixel 1 on, whose rows are the resource's.
  ASSERT_EQ(transfer(7, {2, 1, 2, 2}, 4), GpuResponse::no_data);
  ASSERT_EQ(scanout(1, 7, {0, 0, 4, 3}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(second, {4, 3}, {0, 1, 2, 3, 4, 5, 1, 2, 8, 9, 5, 6}));
}

TEST_F(GpuTest, KnowsAllFormats) {
  const std::pair<GpuFormat, uint32_t> kFormats[] = {
      {GpuFormat::b8g8r8a8, 0xaa112233}, {GpuFormat::b8g8r8x8, 0xaa112233}, {GpuFormat::a8r8g8b8, 0x332211aa},
      {GpuFormat::x8r8g8b8, 0x332211aa}, {GpuFormat::r8g8b8a8, 0xaa332211}, {GpuFormat::r8g8b8x8, 0xaa332211},
      {GpuFormat::a8b8g8r8, 0x112233aa}, {GpuFormat::x8b8g8r8, 0x112233aa}};
  for (const auto& [format, stored] : kFormats) {
    Resource resource{.size = {1, 1}, .format = format, .pixels = {stored}};
    std::array<uint32_t, 1> pixel{};
    resource.read_row(0, 0, pixel, false);
    EXPECT_EQ(pixel[0], 0x112233u) << static_cast<int>(format);
    resource.read_row(0, 0, pixel, true);
    EXPECT_EQ(pixel[0], 0xaa112233u) << static_cast<int>(format);
  }
  EXPECT_EQ(create(1, 4, 4, static_cast<GpuFormat>(5)), GpuResponse::invalid_parameter);
}

TEST_F(GpuTest, IllegalResources) {
  EXPECT_EQ(create(0, 4, 4), GpuResponse::invalid_resource_id);
  EXPECT_EQ(create(1, 4, 4), GpuResponse::no_data);
  EXPECT_EQ(create(1, 4, 4), GpuResponse::invalid_resource_id);
  EXPECT_EQ(create(2, 0, 4), GpuResponse::invalid_parameter);
  EXPECT_EQ(create(2, 0x10000, 0x10000), GpuResponse::invalid_parameter);
  EXPECT_EQ(create(2, 0xffffffff, 0xffffffff), GpuResponse::invalid_parameter);
  EXPECT_EQ(create(2, 16384, 16384), GpuResponse::out_of_memory);
  EXPECT_EQ(create(2, 8192, 8000), GpuResponse::no_data);  // 250 MiB.
  EXPECT_EQ(create(3, 2048, 2048), GpuResponse::out_of_memory);
  EXPECT_EQ(tell(GpuCommand::resource_unref, spec::virtio::GpuResource{2, 0}), GpuResponse::no_data);
  EXPECT_EQ(create(3, 2048, 2048), GpuResponse::no_data);
  EXPECT_EQ(tell(GpuCommand::resource_unref, spec::virtio::GpuResource{2, 0}),
            GpuResponse::invalid_resource_id);
}

TEST_F(GpuTest, IllegalBackings) {
  ASSERT_EQ(create(1, 4, 4), GpuResponse::no_data);
  EXPECT_EQ(transfer(1, {0, 0, 4, 4}, 0), GpuResponse::invalid_parameter);  // There is none.
  EXPECT_EQ(attach(9, {{kBacking, 64, 0}}), GpuResponse::invalid_resource_id);
  EXPECT_EQ(attach(1, {{FakeGuest::kMemorySize - 32, 64, 0}}), GpuResponse::invalid_parameter);
  EXPECT_EQ(attach(1, {{~uint64_t{0} - 10, 64, 0}}), GpuResponse::invalid_parameter);
  Bytes body = bytes_of(GpuAttachBacking{1, 1000});  // Entries that are not there.
  EXPECT_EQ(type_of(ask(command(GpuCommand::resource_attach_backing, body))), GpuResponse::unspecified);
  body = bytes_of(GpuAttachBacking{1, 0xffffffff});
  EXPECT_EQ(type_of(ask(command(GpuCommand::resource_attach_backing, body))), GpuResponse::out_of_memory);
  EXPECT_EQ(attach(1, {{kBacking, 60, 0}}), GpuResponse::no_data);
  EXPECT_EQ(attach(1, {{kBacking, 64, 0}}), GpuResponse::unspecified);
  EXPECT_EQ(transfer(1, {0, 0, 4, 4}, 0), GpuResponse::invalid_parameter);  // Four bytes too few.
  EXPECT_EQ(transfer(1, {0, 0, 3, 4}, 0), GpuResponse::no_data);
  EXPECT_EQ(transfer(1, {0, 0, 1, 1}, ~uint64_t{0}), GpuResponse::invalid_parameter);
  EXPECT_EQ(transfer(1, {0, 0, 1, 1}, 57), GpuResponse::invalid_parameter);
  EXPECT_EQ(transfer(1, {3, 3, 2, 1}, 0), GpuResponse::invalid_parameter);
  EXPECT_EQ(transfer(1, {1, 0, 0xffffffff, 1}, 0), GpuResponse::invalid_parameter);
  EXPECT_EQ(transfer(1, {0, 0, 0, 1}, 0), GpuResponse::invalid_parameter);
  EXPECT_EQ(transfer(2, {0, 0, 1, 1}, 0), GpuResponse::invalid_resource_id);
  EXPECT_EQ(tell(GpuCommand::resource_detach_backing, spec::virtio::GpuResource{1, 0}), GpuResponse::no_data);
  EXPECT_EQ(transfer(1, {0, 0, 1, 1}, 0), GpuResponse::invalid_parameter);
}

TEST_F(GpuTest, IllegalScanouts) {
  make(1, 8, 8);
  EXPECT_EQ(scanout(2, 1, {0, 0, 8, 8}), GpuResponse::invalid_scanout_id);
  EXPECT_EQ(scanout(0, 2, {0, 0, 8, 8}), GpuResponse::invalid_resource_id);
  EXPECT_EQ(scanout(0, 1, {0, 0, 9, 8}), GpuResponse::invalid_parameter);
  EXPECT_EQ(scanout(0, 1, {0xfffffff8, 0, 8, 8}), GpuResponse::invalid_parameter);
  EXPECT_EQ(scanout(0, 1, {0, 0, 8, 0}), GpuResponse::invalid_parameter);
  EXPECT_EQ(flush(1, {0, 0, 9, 9}), GpuResponse::invalid_parameter);
  EXPECT_EQ(flush(2, {0, 0, 1, 1}), GpuResponse::invalid_resource_id);
  ASSERT_EQ(create(3, 5000, 2), GpuResponse::no_data);
  EXPECT_EQ(scanout(0, 3, {0, 0, 5000, 2}), GpuResponse::invalid_parameter);  // No display is as wide.
}

// The resource goes while it is shown, and with it the picture.
TEST_F(GpuTest, ResourcesMayGoWhileShown) {
  make(1, 2, 1);
  ASSERT_EQ(scanout(0, 1, {0, 0, 2, 1}), GpuResponse::no_data);
  ASSERT_EQ(scanout(1, 1, {1, 0, 1, 1}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {2, 1}, {0, 1}));
  EXPECT_TRUE(wait_for_frame(second, {1, 1}, {1}));
  ASSERT_EQ(tell(GpuCommand::resource_unref, spec::virtio::GpuResource{1, 0}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {2, 1}, {0, 0}));
  EXPECT_TRUE(wait_for_frame(second, {1, 1}, {0}));
}

TEST_F(GpuTest, UnknownAndShortCommands) {
  EXPECT_EQ(type_of(ask(command(static_cast<GpuCommand>(0x9999)))), GpuResponse::unspecified);
  EXPECT_EQ(type_of(ask(command(GpuCommand::get_capset_info))), GpuResponse::invalid_parameter);
  EXPECT_EQ(type_of(ask(command(GpuCommand::move_cursor))), GpuResponse::unspecified);
  EXPECT_EQ(type_of(ask(Bytes(3))), GpuResponse::unspecified);
  for (const GpuCommand type :
       {GpuCommand::resource_create_2d, GpuCommand::resource_unref, GpuCommand::set_scanout,
        GpuCommand::resource_flush, GpuCommand::transfer_to_host_2d, GpuCommand::resource_attach_backing,
        GpuCommand::resource_detach_backing, GpuCommand::get_edid})
    EXPECT_EQ(type_of(ask(command(type, Bytes(3)))), GpuResponse::unspecified);
  EXPECT_EQ(ask(command(GpuCommand::get_display_info), 30).size(), 30u);  // Little room.
  const auto no_room = guest.queue(0).request({.readable = {command(GpuCommand::get_display_info)}});
  ASSERT_TRUE(no_room);
  EXPECT_EQ(no_room->length, 0u);
}

TEST_F(GpuTest, CursorsHaveShapeAndPlace) {
  make(1, 64, 64, GpuFormat::b8g8r8a8);
  const auto update = [&](uint32_t scanout_id, uint32_t resource, uint32_t x, uint32_t y) {
    return tell(GpuCommand::update_cursor, GpuUpdateCursor{{scanout_id, x, y, 0}, resource, 9, 100, 0},
                kGpuCursorQueue);
  };
  ASSERT_EQ(update(1, 1, 20, 0xffffffff), GpuResponse::no_data);
  DisplayCursor cursor = second.memory.read_cursor(0);
  EXPECT_TRUE(cursor.is_visible);
  EXPECT_EQ(cursor.x, 20);
  EXPECT_EQ(cursor.y, -1);
  EXPECT_EQ(cursor.hot_x, 9u);
  EXPECT_EQ(cursor.hot_y, 63u);  // Within the shape.
  EXPECT_EQ(cursor.pixels[65], 65u);
  ASSERT_EQ(tell(GpuCommand::move_cursor, GpuUpdateCursor{{1, 7, 8, 0}, 0, 0, 0, 0}, kGpuCursorQueue),
            GpuResponse::no_data);
  EXPECT_EQ(second.memory.read_cursor(0).x, 7);
  EXPECT_TRUE(second.memory.read_cursor(0).is_visible);
  ASSERT_EQ(update(1, 0, 0, 0), GpuResponse::no_data);
  EXPECT_FALSE(second.memory.read_cursor(0).is_visible);
  EXPECT_EQ(update(2, 1, 0, 0), GpuResponse::invalid_scanout_id);
  EXPECT_EQ(update(0, 5, 0, 0), GpuResponse::invalid_resource_id);
  make(2, 32, 64);
  EXPECT_EQ(update(0, 2, 0, 0), GpuResponse::invalid_parameter);
  EXPECT_EQ(type_of(ask(command(GpuCommand::update_cursor, Bytes(5)), 100, kGpuCursorQueue)),
            GpuResponse::unspecified);
  EXPECT_EQ(type_of(ask(command(GpuCommand::set_scanout), 100, kGpuCursorQueue)), GpuResponse::unspecified);
}

TEST_F(GpuTest, AnotherMonitorIsAnEvent) {
  uint32_t events = 0;
  const auto bytes = std::as_writable_bytes(std::span(&events, 1));
  device.read_config(0, bytes);
  EXPECT_EQ(events, 0u);
  device.reconfigure(1, {1000, 700, 100});
  device.reconfigure(5, {1000, 700, 100});  // There is none.
  EXPECT_EQ(guest.interrupts().configuration_count(), 1u);
  device.read_config(0, bytes);
  EXPECT_EQ(events, kGpuEventDisplay);
  device.write_config(4, bytes);
  device.read_config(0, bytes);
  EXPECT_EQ(events, 0u);
  const Bytes answer = ask(command(GpuCommand::get_display_info));
  GpuDisplayInfos infos;
  std::memcpy(&infos, answer.data() + sizeof(GpuHeader), sizeof infos);
  EXPECT_EQ(infos[1].rectangle.width, 1000u);
}

TEST_F(GpuTest, ResetForgetsEverything) {
  make(1, 2, 1);
  ASSERT_EQ(scanout(0, 1, {0, 0, 2, 1}), GpuResponse::no_data);
  EXPECT_TRUE(wait_for_frame(first, {2, 1}, {0, 1}));
  guest.reset();
  EXPECT_EQ(first.read().pixels, (std::vector<uint32_t>{0, 0}));
  guest.activate(device, device.features());
  EXPECT_EQ(flush(1, {0, 0, 1, 1}), GpuResponse::invalid_resource_id);
  make(1, 2, 1);
}

// Frames that come faster than a monitor shows them are drawn over; the last is always shown.
TEST_F(GpuTest, TheLastFrameIsShown) {
  make(1, 64, 1);
  ASSERT_EQ(scanout(0, 1, {0, 0, 64, 1}), GpuResponse::no_data);
  std::vector<uint32_t> pixels(64);
  for (uint32_t i = 0; i < 100; ++i) {
    std::ranges::fill(pixels, i);
    ASSERT_TRUE(guest.memory().write(kBacking, std::as_bytes(std::span(pixels))));
    ASSERT_EQ(transfer(1, {2, 0, 62, 1}, 8), GpuResponse::no_data);
    ASSERT_EQ(flush(1, {0, 0, 64, 1}), GpuResponse::no_data);
  }
  std::ranges::fill(pixels, 99u << 16);  // What was written begins in the middle of a pixel, see make().
  pixels[0] = 0;
  pixels[1] = 1;
  EXPECT_TRUE(wait_for_frame(first, {64, 1}, pixels));
}

}  // namespace
}  // namespace alcove::devices::gpu
