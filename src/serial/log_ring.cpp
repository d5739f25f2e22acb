#include "serial/log_ring.h"

#include <algorithm>
#include <cstring>

namespace alcove::serial {

void LogRing::append(std::span<const std::byte> data) {
  std::lock_guard lock(mutex_);
  end_ += data.size();
  if (data.size() > bytes_.size()) data = data.last(bytes_.size());
  const size_t at = (end_ - data.size()) % bytes_.size();
  const size_t first = std::min(data.size(), bytes_.size() - at);
  std::ranges::copy(data.first(first), bytes_.begin() + static_cast<ptrdiff_t>(at));
  std::ranges::copy(data.subspan(first), bytes_.begin());
}

LogRing::Part LogRing::read(uint64_t offset, size_t maximum) const {
  std::lock_guard lock(mutex_);
  const uint64_t begin = end_ - std::min<uint64_t>(end_, bytes_.size());
  Part part{.offset = std::clamp(offset, begin, end_), .text = {}};
  part.text.resize(std::min<uint64_t>(end_ - part.offset, maximum));
  const size_t at = part.offset % bytes_.size();
  const size_t first = std::min(part.text.size(), bytes_.size() - at);
  std::memcpy(part.text.data(), bytes_.data() + at, first);
  std::memcpy(part.text.data() + first, bytes_.data(), part.text.size() - first);
  return part;
}

uint64_t LogRing::end() const {
  std::lock_guard lock(mutex_);
  return end_;
}

}  // namespace alcove::serial
