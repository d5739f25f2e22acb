#include "display/frame_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "support/damage.h"

namespace alcove::display {

namespace {

constexpr size_t kPixels = size_t{kMaximumExtent} * kMaximumExtent;
constexpr size_t kCursorPixels = size_t{kCursorExtent} * kCursorExtent;
constexpr size_t kRemembered = 256;  // Changed rectangles.

struct Packed {  // In one atomic word.
  uint16_t x, y, width, height;
};

std::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::internal, "", fmt::format("{} for a display: {}", what, std::strerror(errno)));
}

// How often and how long a reader waits for a writer that is in the middle of something: 50 ms in all.
constexpr int kAttempts = 500;
void wait_for_writer(int attempt) {
  if (attempt > 2) std::this_thread::sleep_for(std::chrono::microseconds(100));
}

}  // namespace

// The sequences are odd while what they guard is being written.
struct FrameMemory::Shared {
  std::atomic<uint64_t> sequence;
  std::atomic<uint64_t> size;    // Width, and height in the upper half.
  std::atomic<uint64_t> damage;  // How many rectangles have ever been remembered.
  std::array<std::atomic<uint64_t>, kRemembered> rectangles;

  std::atomic<uint64_t> cursor_sequence;
  std::atomic<uint64_t> cursor_shape;
  std::atomic<uint64_t> cursor_position;  // x, and y in the upper half.
  std::atomic<uint64_t> cursor_hot_spot;
  std::atomic<uint32_t> cursor_visible;
  std::array<std::atomic<uint32_t>, kCursorPixels> cursor_pixels;

  alignas(4096) uint32_t pixels[kPixels];
};

Result<FrameMemory> FrameMemory::create() {
  UniqueFd descriptor(::memfd_create("alcove display", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor || ::ftruncate(descriptor.get(), sizeof(Shared)) != 0 ||
      ::fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed("no memory");
  }
  return open(std::move(descriptor));
}

Result<FrameMemory> FrameMemory::open(UniqueFd descriptor) {
  return map(std::move(descriptor), PROT_READ | PROT_WRITE);
}

Result<FrameMemory> FrameMemory::open_read_only(UniqueFd descriptor) {
  return map(std::move(descriptor), PROT_READ);
}

Result<UniqueFd> FrameMemory::read_only_descriptor() const {
  UniqueFd descriptor(
      ::open(fmt::format("/proc/self/fd/{}", descriptor_.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) return failed("no descriptor");
  return descriptor;
}

Result<FrameMemory> FrameMemory::map(UniqueFd descriptor, int protection) {
  struct stat status{};
  if (::fstat(descriptor.get(), &status) != 0) return failed("no descriptor");
  if (status.st_size != sizeof(Shared))
    return fail(ErrorCode::internal, "", "the memory for a display has another size");
  void* memory = ::mmap(nullptr, sizeof(Shared), protection, MAP_SHARED | MAP_NORESERVE, descriptor.get(), 0);
  if (memory == MAP_FAILED) return failed("no address space");
  return FrameMemory(std::move(descriptor), static_cast<Shared*>(memory));
}

FrameMemory::FrameMemory(UniqueFd descriptor, Shared* shared)
    : descriptor_(std::move(descriptor)), shared_(shared) {}

FrameMemory::FrameMemory(FrameMemory&& other) noexcept
    : descriptor_(std::move(other.descriptor_)), shared_(std::exchange(other.shared_, nullptr)) {}

FrameMemory::~FrameMemory() {
  if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

DisplaySize FrameMemory::size() const {
  const uint64_t size = shared_->size.load(std::memory_order_relaxed);
  return {std::min<uint32_t>(static_cast<uint32_t>(size), kMaximumExtent),
          std::min<uint32_t>(static_cast<uint32_t>(size >> 32), kMaximumExtent)};
}

std::span<uint32_t> FrameMemory::begin_frame(DisplaySize wanted) {
  // Odd already where the process before us died in the middle.
  shared_->sequence.store(shared_->sequence.load(std::memory_order_relaxed) | 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  if (wanted != size()) {
    shared_->size.store(wanted.width | uint64_t{wanted.height} << 32, std::memory_order_relaxed);
    std::memset(shared_->pixels, 0, size_t{wanted.width} * wanted.height * sizeof(uint32_t));
  }
  return {shared_->pixels, size_t{wanted.width} * wanted.height};
}

void FrameMemory::end_frame(std::span<const DisplayRectangle> damage) {
  uint64_t position = shared_->damage.load(std::memory_order_relaxed);
  for (const DisplayRectangle& rectangle : damage) {
    const Packed packed{static_cast<uint16_t>(rectangle.x), static_cast<uint16_t>(rectangle.y),
                        static_cast<uint16_t>(rectangle.width), static_cast<uint16_t>(rectangle.height)};
    shared_->rectangles[position++ % kRemembered].store(std::bit_cast<uint64_t>(packed),
                                                        std::memory_order_relaxed);
  }
  shared_->damage.store(position, std::memory_order_relaxed);
  shared_->sequence.store(shared_->sequence.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool FrameMemory::try_read(DisplayFrame& frame, Position& position,
                           std::vector<DisplayRectangle>& changed) const {
  const uint64_t before = shared_->sequence.load(std::memory_order_acquire);
  const DisplaySize now = size();
  const uint64_t end = shared_->damage.load(std::memory_order_relaxed);
  changed.clear();
  if (!position.has_frame || now != frame.size || end - position.damage > kRemembered) {
    frame.size = now;
    frame.pixels.resize(size_t{now.width} * now.height);
    if (!frame.pixels.empty()) changed.push_back({0, 0, now.width, now.height});
  } else {
    Damage damage;
    for (uint64_t index = position.damage; index != end; ++index) {
      const uint64_t word = shared_->rectangles[index % kRemembered].load(std::memory_order_relaxed);
      const auto packed = std::bit_cast<Packed>(word);
      damage.add(clip({packed.x, packed.y, packed.width, packed.height}, now));
    }
    changed = damage.take();
  }
  for (const DisplayRectangle& rectangle : changed) {
    for (uint32_t y = rectangle.y; y < rectangle.y + rectangle.height; ++y) {
      const size_t offset = size_t{y} * now.width + rectangle.x;
      std::memcpy(&frame.pixels[offset], &shared_->pixels[offset], rectangle.width * sizeof(uint32_t));
    }
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (before % 2 != 0 || shared_->sequence.load(std::memory_order_relaxed) != before) return false;
  position = {.damage = end, .has_frame = true};
  return true;
}

std::vector<DisplayRectangle> FrameMemory::read(DisplayFrame& frame, Position& position) const {
  std::vector<DisplayRectangle> changed;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (shared_->sequence.load(std::memory_order_relaxed) % 2 == 0 && try_read(frame, position, changed))
      return changed;
    wait_for_writer(attempt);
  }
  // The writer died in the middle of a frame; what there is of it is all that will ever come.
  position.has_frame = false;
  (void)try_read(frame, position, changed);
  return changed;
}

void FrameMemory::set_cursor_shape(std::span<const uint32_t> pixels, uint32_t hot_x, uint32_t hot_y) {
  auto& sequence = shared_->cursor_sequence;
  sequence.store(sequence.load(std::memory_order_relaxed) | 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < std::min(pixels.size(), kCursorPixels); ++i)
    shared_->cursor_pixels[i].store(pixels[i], std::memory_order_relaxed);
  shared_->cursor_hot_spot.store(hot_x | uint64_t{hot_y} << 32, std::memory_order_relaxed);
  shared_->cursor_shape.fetch_add(1, std::memory_order_relaxed);
  sequence.store(sequence.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void FrameMemory::set_cursor_position(bool is_visible, int32_t x, int32_t y) {
  shared_->cursor_position.store(static_cast<uint32_t>(x) | uint64_t{static_cast<uint32_t>(y)} << 32,
                                 std::memory_order_relaxed);
  shared_->cursor_visible.store(is_visible, std::memory_order_release);
}

DisplayCursor FrameMemory::read_cursor(uint64_t known_shape) const {
  DisplayCursor cursor;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t before = shared_->cursor_sequence.load(std::memory_order_acquire);
    cursor.is_visible = shared_->cursor_visible.load(std::memory_order_acquire) != 0;
    const uint64_t position = shared_->cursor_position.load(std::memory_order_relaxed);
    cursor.x = static_cast<int32_t>(position);
    cursor.y = static_cast<int32_t>(position >> 32);
    const uint64_t hot_spot = shared_->cursor_hot_spot.load(std::memory_order_relaxed);
    cursor.hot_x = std::min(static_cast<uint32_t>(hot_spot), kCursorExtent - 1);
    cursor.hot_y = std::min(static_cast<uint32_t>(hot_spot >> 32), kCursorExtent - 1);
    cursor.shape = shared_->cursor_shape.load(std::memory_order_relaxed);
    cursor.size = cursor.shape == 0 ? DisplaySize{} : DisplaySize{kCursorExtent, kCursorExtent};
    cursor.pixels.clear();
    if (cursor.shape != known_shape) {
      cursor.pixels.resize(kCursorPixels);
      for (size_t i = 0; i < kCursorPixels; ++i)
        cursor.pixels[i] = shared_->cursor_pixels[i].load(std::memory_order_relaxed);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && shared_->cursor_sequence.load(std::memory_order_relaxed) == before) break;
    wait_for_writer(attempt);
  }
  return cursor;
}

}  // namespace alcove::display
