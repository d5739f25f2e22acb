#include "support/log_ring.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

namespace alcove {

struct LogRing::Shared {
  std::atomic<uint64_t> position;
  std::atomic<uint8_t> data[kCapacity];
};

namespace {

std::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::internal, "",
              fmt::format("{} for a serial port's log: {}", what, std::strerror(errno)));
}

}  // namespace

Result<LogRing> LogRing::create() {
  UniqueFd descriptor(::memfd_create("alcove serial log", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor || ::ftruncate(descriptor.get(), sizeof(Shared)) != 0 ||
      ::fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed("no memory");
  }
  return open(std::move(descriptor));
}

Result<LogRing> LogRing::open(UniqueFd descriptor) {
  struct stat status{};
  if (::fstat(descriptor.get(), &status) != 0) return failed("no descriptor");
  if (status.st_size != sizeof(Shared)) {
    return fail(ErrorCode::internal, "", "the memory for a serial port's log has another size");
  }
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
  if (memory == MAP_FAILED) return failed("no address space");
  return LogRing(std::move(descriptor), static_cast<Shared*>(memory));
}

LogRing::LogRing(LogRing&& other) noexcept
    : descriptor_(std::move(other.descriptor_)), shared_(std::exchange(other.shared_, nullptr)) {}

LogRing::~LogRing() {
  if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

void LogRing::append(std::span<const std::byte> data) {
  uint64_t position = shared_->position.load(std::memory_order_relaxed);
  for (std::byte byte : data) {
    shared_->data[position++ % kCapacity].store(static_cast<uint8_t>(byte), std::memory_order_relaxed);
  }
  shared_->position.store(position, std::memory_order_release);
}

void LogRing::clear() {
  shared_->position.store(0, std::memory_order_release);
}

uint64_t LogRing::position() const {
  return shared_->position.load(std::memory_order_acquire);
}

std::string LogRing::read() const {
  const uint64_t end = position();
  const uint64_t size = std::min<uint64_t>(end, kCapacity);
  std::string text(size, '\0');
  for (uint64_t index = 0; index < size; ++index) {
    text[index] =
        static_cast<char>(shared_->data[(end - size + index) % kCapacity].load(std::memory_order_relaxed));
  }
  // What the writer overwrote meanwhile is newer bytes, not the log's beginning: leave it out.
  const uint64_t overwritten = std::min(position() - end, size);
  text.erase(0, overwritten);
  return text;
}

}  // namespace alcove
