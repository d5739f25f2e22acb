// The host's end of a stream of sound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "audio/format.h"

namespace alcove::audio {

// For one thread at a time. Sizes are in bytes of whole frames, in the format that was prepared.
class Endpoint {
 public:
  virtual ~Endpoint() = default;
  virtual const Offer& offer() const = 0;

  // A guest has chosen one of what is offered; called again for each time that it plays or records. False if
  // it can't be had.
  virtual bool prepare(const Format& format) = 0;
  virtual void start() {}
  virtual void stop() {}     // Goes on with start().
  virtual void release() {}  // Until prepare().

  // What it takes or has at this moment, where the host sets the pace; nothing where whoever calls does.
  virtual std::optional<uint64_t> ready() { return std::nullopt; }
  // Readable when there may be more ready; -1 where nobody tells.
  virtual int event() const { return -1; }
  // What it was given and has not been heard, or was heard and has not been taken.
  virtual uint32_t latency() { return 0; }
};

class Output : public Endpoint {
 public:
  // Takes all; false if any of it is lost.
  virtual bool write(std::span<const std::byte> frames) = 0;
};

class Input : public Endpoint {
 public:
  // Fills all of it; false if any of it is silence for want of something better.
  virtual bool read(std::span<std::byte> frames) = 0;
};

// Drops what it gets.
class NullOutput final : public Output {
 public:
  const Offer& offer() const override { return offer_; }
  bool prepare(const Format&) override { return true; }
  bool write(std::span<const std::byte>) override { return true; }

 private:
  const Offer offer_ = Offer::anything();
};

class SilentInput final : public Input {
 public:
  const Offer& offer() const override { return offer_; }
  bool prepare(const Format& format) override;
  bool read(std::span<std::byte> frames) override;

 private:
  const Offer offer_ = Offer::anything();
  std::byte silence_{0};
};

}  // namespace alcove::audio
