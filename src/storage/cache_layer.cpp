#include "storage/cache_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "storage/transfer.h"

namespace alcove::storage {

namespace {

constexpr std::array<char, 8> kMagic = {'A', 'l', 'c', 'o', 'v', 'e', 'C', '1'};
constexpr uint64_t kHeaderSize = 4096, kBitsInWord = 64;
constexpr uint64_t kLargestFetch = 1 << 20;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint64_t disk_size = 0;
  uint64_t identity = 0;
  uint64_t is_open = 0;
};

uint64_t up_to(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

IoResult read_at(ImageFile& file, uint64_t offset, void* to, size_t size) {
  const iovec buffer{to, size};
  return file.read(offset, {&buffer, 1}, PastEnd::zeroes);
}

IoResult write_at(ImageFile& file, uint64_t offset, const void* from, size_t size) {
  const iovec buffer{const_cast<void*>(from), size};
  return file.write(offset, {&buffer, 1});
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

CacheLayer::CacheLayer(std::unique_ptr<ImageFile> file, std::unique_ptr<Disk> below,
                       std::optional<uint64_t> identity)
    : file_(std::move(file)),
      below_(std::move(below)),
      identity_(identity),
      bits_(up_to(up_to(below_->size(), kBlockSize) / kBlockSize, kBitsInWord) / kBitsInWord) {}

Result<std::unique_ptr<CacheLayer>> CacheLayer::create(UniqueFd fd, std::unique_ptr<Disk> below,
                                                       std::optional<uint64_t> identity,
                                                       const std::string& where) {
  if (below->size() > kMostSize) {
    return fail(ErrorCode::not_supported, where,
                fmt::format("the cache is of a disk of {} bytes, more than 64 TiB", below->size()),
                "leave it out");
  }
  auto file =
      ImageFile::create(std::move(fd), {.synchronization = DiskImageSynchronizationMode::fsync}, where);
  if (!file) return std::unexpected(std::move(file.error()));
  std::unique_ptr<CacheLayer> layer(new CacheLayer(*std::move(file), std::move(below), identity));
  const auto loaded = layer->load(where);
  IoResult done;
  if (loaded && !*loaded) done = layer->begin_anew();
  if (loaded && done) done = layer->write_header(true);
  if (loaded && done) done = layer->file_->flush();
  if (loaded && done) return layer;
  layer->file_.reset();  // There is nothing to close.
  if (!loaded) return std::unexpected(loaded.error());
  return fail(ErrorCode::invalid_disk_image, where,
              fmt::format("the cache can't be written: {}", std::strerror(done.error())));
}

CacheLayer::~CacheLayer() {
  if (file_) (void)close();
}

uint64_t CacheLayer::data_offset() const {
  return up_to(kHeaderSize + bits_.size() * sizeof(uint64_t), kBlockSize);
}

Result<bool> CacheLayer::load(const std::string& where) {
  Header header;
  const auto length = file_->length();
  IoResult done = length ? read_at(*file_, 0, &header, sizeof header) : std::unexpected(length.error());
  if (done && *length != 0 && header.magic != kMagic) {
    return fail(ErrorCode::invalid_disk_image, where, "the file of the cache holds something else",
                "name one that is not there yet");
  }
  if (!done || *length == 0 || header.is_open != 0 || header.disk_size != size() || !identity_ ||
      header.identity != *identity_) {
    if (done) return false;
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("the cache can't be read: {}", std::strerror(done.error())));
  }
  std::vector<uint64_t> words(bits_.size());
  if (!read_at(*file_, kHeaderSize, words.data(), words.size() * sizeof(uint64_t))) return false;
  std::ranges::copy(words, bits_.begin());
  return true;
}

IoResult CacheLayer::begin_anew() {
  if (IoResult done = file_->resize(0); !done) return done;
  return file_->resize(data_offset() + up_to(size(), kBlockSize));
}

IoResult CacheLayer::write_header(bool is_open) {
  const Header header{.disk_size = size(), .identity = identity_.value_or(0), .is_open = is_open};
  return write_at(*file_, 0, &header, sizeof header);
}

IoResult CacheLayer::close() {
  if (!identity_) return {};  // It stays marked as open, and so nobody believes it.
  std::vector<uint64_t> words(bits_.begin(), bits_.end());
  IoResult done = write_at(*file_, kHeaderSize, words.data(), words.size() * sizeof(uint64_t));
  if (done) done = file_->flush();
  if (done) done = write_header(false);
  if (done) done = file_->flush();
  return done;
}

bool CacheLayer::has(uint64_t block) const {
  return bits_[block / kBitsInWord].load(std::memory_order_acquire) >> block % kBitsInWord & 1;
}

uint64_t CacheLayer::run(uint64_t offset, uint64_t length, bool is_there) const {
  uint64_t end = offset;
  while (end < offset + length && has(end / kBlockSize) == is_there)
    end = (end / kBlockSize + 1) * kBlockSize;
  return std::min(end, offset + length) - offset;
}

IoResult CacheLayer::read(uint64_t offset, std::span<const iovec> buffers) {
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    uint64_t length = run(offset, left, true);
    IoResult done;
    if (length > 0) {
      done = file_->read(data_offset() + offset, cursor.take(length), PastEnd::zeroes);
    } else {
      length = std::min(run(offset, left, false), kLargestFetch);
      done = fetch(offset, length, cursor);
    }
    if (!done) return done;
    offset += length;
    left -= length;
  }
  return {};
}

// Whole blocks, by a buffer of its own: guests may change theirs meanwhile.
IoResult CacheLayer::fetch(uint64_t offset, uint64_t length, Cursor& cursor) {
  if (!can_store_) return below_->read(offset, cursor.take(length));
  const uint64_t begin = offset / kBlockSize * kBlockSize,
                 end = std::min(up_to(offset + length, kBlockSize), size());
  const AlignedBuffer memory = allocate_aligned(4096, up_to(end - begin, kBlockSize));
  if (!memory) return std::unexpected(ENOMEM);
  const iovec buffer{memory.get(), end - begin};
  if (IoResult done = below_->read(begin, {&buffer, 1}); !done) return done;
  cursor.copy_from(memory.get() + (offset - begin), length);
  for (uint64_t at = begin; at < end; at += kBlockSize) {
    const std::span block(memory.get() + (at - begin), std::min(kBlockSize, end - at));
    // Another read may have stored it meanwhile: the same.
    if (!is_zero(block) && !write_at(*file_, data_offset() + at, block.data(), block.size())) {
      can_store_ = false;
      return {};
    }
    const uint64_t number = at / kBlockSize;
    bits_[number / kBitsInWord].fetch_or(uint64_t{1} << number % kBitsInWord, std::memory_order_release);
  }
  return {};
}

bool CacheLayer::try_read(uint64_t offset, std::span<const iovec> buffers) {
  const uint64_t length = total_size(buffers);
  return run(offset, length, true) == length && file_->try_read(data_offset() + offset, buffers);
}

}  // namespace alcove::storage
