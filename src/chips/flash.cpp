#include "chips/flash.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "spec/cfi_flash.h"

namespace alcove::chips {

using namespace spec::cfi_flash;

namespace {

// Those of the chip that firmware for this board expects: Intel, 28F640-like.
constexpr std::array<uint8_t, 2> kIdentifier{0x89, 0x18};

template <class Call>
bool transfer_all(uint64_t size, Call call) {
  for (uint64_t done = 0; done < size;) {
    const ssize_t count = call(done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<uint64_t>(count);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<Flash>> Flash::create(UniqueFd file, uint64_t size, const std::string& field) {
  constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || static_cast<uint64_t>(status.st_size) != size || size == 0 ||
      size % kBlockSize != 0) {
    return fail(kInvalid, field, fmt::format("has {} bytes, not {}", status.st_size, size));
  }
  std::vector<std::byte> contents(size);
  const bool read = transfer_all(size, [&](uint64_t done) {
    return ::pread(file.get(), contents.data() + done, size - done, static_cast<off_t>(done));
  });
  if (!read) return fail(kInvalid, field, fmt::format("can't be read: {}", std::strerror(errno)));
  return std::unique_ptr<Flash>(new Flash(std::move(file), std::move(contents)));
}

Flash::Flash(UniqueFd file, std::vector<std::byte> contents)
    : file_(std::move(file)), contents_(std::move(contents)) {}

Flash::~Flash() {
  flush();
}

void Flash::reset() {
  std::lock_guard lock(mutex_);
  flush();
  mode_ = Mode::array;
  status_ = 0;
}

bus::Access Flash::read(uint64_t offset, std::span<std::byte> data) {
  std::lock_guard lock(mutex_);
  if (offset > contents_.size() || data.size() > contents_.size() - offset) return bus::Access::no_register;
  switch (mode_) {
    case Mode::array:
      std::memcpy(data.data(), contents_.data() + offset, data.size());
      break;
    case Mode::identifier:
      for (size_t i = 0; i < data.size(); ++i) {
        const uint64_t index = (offset + i) % kBlockSize;
        data[i] = std::byte{index < kIdentifier.size() ? kIdentifier[index] : uint8_t{0}};
      }
      break;
    default:
      std::ranges::fill(data, std::byte{status_});
      break;
  }
  return bus::Access::done;
}

bus::Access Flash::write(uint64_t offset, std::span<const std::byte> data) {
  std::lock_guard lock(mutex_);
  if (offset > contents_.size() || data.size() > contents_.size() - offset) return bus::Access::no_register;
  const auto value = std::to_integer<uint8_t>(data[0]);
  switch (mode_) {
    case Mode::program:
      program(offset, data);
      mode_ = Mode::status;
      break;
    case Mode::erase:
      mode_ = Mode::status;
      if (value == kConfirm) {
        erase(offset);
      } else {
        status_ |= status::ready | status::erase_error | status::program_error;  // Command sequence error.
      }
      break;
    case Mode::lock:  // No block is ever locked.
      mode_ = Mode::status;
      status_ |= status::ready;
      break;
    case Mode::buffer_count:
      buffer_.clear();
      buffer_offset_ = offset;
      buffer_due_ = size_t{value} + 1;
      mode_ = Mode::buffer_data;
      break;
    case Mode::buffer_data:
      collect(offset, data);
      break;
    case Mode::buffer_confirm:
      mode_ = Mode::status;
      if (value == kConfirm) {
        program_buffer();
      } else {
        status_ |= status::ready | status::program_error;
      }
      break;
    default:
      command(value);
      break;
  }
  return bus::Access::done;
}

void Flash::command(uint8_t value) {
  const bool goes_on =
      value == kProgram || value == kProgramAlternate || value == kBlockErase || value == kWriteToBuffer;
  if (!goes_on) flush();
  switch (value) {
    case kReadStatus:
      mode_ = Mode::status;
      break;
    case kClearStatus:
      // Nothing set, not even "ready": by that firmware for this board tells flash from memory.
      status_ = 0;
      mode_ = Mode::array;
      break;
    case kReadIdentifier:
      mode_ = Mode::identifier;
      break;
    case kProgram:
    case kProgramAlternate:
      mode_ = Mode::program;
      break;
    case kBlockErase:
      mode_ = Mode::erase;
      break;
    case kLockSetup:
      mode_ = Mode::lock;
      break;
    case kWriteToBuffer:
      status_ |= status::ready;
      mode_ = Mode::buffer_count;
      break;
    default:  // kReadArray, and what is no command.
      mode_ = Mode::array;
      break;
  }
}

void Flash::program(uint64_t offset, std::span<const std::byte> data) {
  for (size_t i = 0; i < data.size(); ++i) contents_[offset + i] &= data[i];  // Only erasing sets bits.
  note_change(offset, offset + data.size());
  status_ |= status::ready;
}

void Flash::collect(uint64_t offset, std::span<const std::byte> data) {
  const bool in_order = offset == buffer_offset_ + buffer_.size();
  if (!in_order || data.size() > buffer_due_) {
    status_ |= status::ready | status::program_error;
    mode_ = Mode::status;
    return;
  }
  buffer_.insert(buffer_.end(), data.begin(), data.end());
  buffer_due_ -= data.size();
  if (buffer_due_ == 0) mode_ = Mode::buffer_confirm;
}

void Flash::program_buffer() {
  if (buffer_.size() > contents_.size() - buffer_offset_) {
    status_ |= status::ready | status::program_error;
  } else {
    program(buffer_offset_, buffer_);
  }
}

void Flash::erase(uint64_t offset) {
  const uint64_t block = offset / kBlockSize * kBlockSize;
  std::fill_n(contents_.begin() + static_cast<ptrdiff_t>(block), kBlockSize, std::byte{kErased});
  note_change(block, block + kBlockSize);
  status_ |= status::ready;
}

void Flash::note_change(uint64_t begin, uint64_t end) {
  // Changes reach the file in their order: only what adjoins is put together.
  if (unwritten_ && (begin > unwritten_->end || end < unwritten_->begin)) flush();
  if (!unwritten_) {
    unwritten_ = Range{begin, end};
  } else {
    unwritten_ = Range{std::min(begin, unwritten_->begin), std::max(end, unwritten_->end)};
  }
}

void Flash::flush() {
  if (!unwritten_) return;
  const auto [begin, end] = *unwritten_;
  const bool written = transfer_all(end - begin, [&](uint64_t done) {
    return ::pwrite(file_.get(), contents_.data() + begin + done, end - begin - done,
                    static_cast<off_t>(begin + done));
  });
  if (written && ::fdatasync(file_.get()) == 0) {
    unwritten_.reset();
  } else {
    status_ |= status::program_error;  // And tried again with the next change.
  }
}

}  // namespace alcove::chips
