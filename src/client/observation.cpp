#include "client/observation.h"

#include <utility>

namespace alcove {

Observation& Observation::operator=(Observation&& other) noexcept {
  if (this == &other) return *this;
  if (record_) record_->end();
  record_ = std::move(other.record_);
  return *this;
}

Observation::~Observation() {
  if (record_) record_->end();
}

}  // namespace alcove
