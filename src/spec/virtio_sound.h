// Wire facts of the virtio sound device (virtio 1.2, section 5.14). No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::virtio_sound {

// Section 5.14.2, queues.
inline constexpr unsigned kControlQueue = 0;
inline constexpr unsigned kEventQueue = 1;
inline constexpr unsigned kTransmitQueue = 2;
inline constexpr unsigned kReceiveQueue = 3;

// Section 5.14.4, configuration layout.
struct Configuration {
  uint32_t jacks;
  uint32_t streams;
  uint32_t channel_maps;
};
static_assert(sizeof(Configuration) == 12);

// Section 5.14.6: codes of requests and answers.
enum Request : uint32_t {
  kJackInformation = 1,
  kJackRemap = 2,
  kPcmInformation = 0x100,
  kPcmSetParameters = 0x101,
  kPcmPrepare = 0x102,
  kPcmRelease = 0x103,
  kPcmStart = 0x104,
  kPcmStop = 0x105,
  kChannelMapInformation = 0x200,
};

enum class Status : uint32_t {
  ok = 0x8000,
  bad_message = 0x8001,    // Malformed, or with a parameter that is invalid.
  not_supported = 0x8002,  // Well-formed; not what this device does.
  io_error = 0x8003,
};

enum Direction : uint8_t { kOutput = 0, kInput = 1 };

struct Header {
  uint32_t code;
};
static_assert(sizeof(Header) == 4);

// Section 5.14.6.1: asks for descriptions of `count` things from `first` on, of `size` bytes each.
struct Query {
  uint32_t code;
  uint32_t first;
  uint32_t count;
  uint32_t size;
};
static_assert(sizeof(Query) == 16);

// Section 5.14.6.4.1
struct JackInformation {
  uint32_t node;
  uint32_t features;
  uint32_t default_configuration;  // High Definition Audio 1.0a, section 7.3.3.31
  uint32_t capabilities;           // The same, section 7.3.4.9
  uint8_t is_connected;
  uint8_t padding[7];
};
static_assert(sizeof(JackInformation) == 24);

// Section 5.14.6.6.2
struct PcmInformation {
  uint32_t node;
  uint32_t features;
  uint64_t formats;  // Bits by SampleFormat.
  uint64_t rates;    // Bits by index in kRates.
  uint8_t direction;
  uint8_t fewest_channels;
  uint8_t most_channels;
  uint8_t padding[5];
};
static_assert(sizeof(PcmInformation) == 32);

// Section 5.14.6.6.2: of the sample formats, those that are in use here.
enum SampleFormat : uint8_t {
  kFormatU8 = 4,
  kFormatS16 = 5,
  kFormatS24 = 15,  // The lower three of four bytes.
  kFormatS32 = 17,
  kFormatFloat = 19,
};

// In Hz, by what stands for them.
inline constexpr uint32_t kRates[] = {5512,  8000,  11025, 16000, 22050,  32000,  44100,
                                      48000, 64000, 88200, 96000, 176400, 192000, 384000};
// Linux's driver gives up a device with a stream that knows other rates alone.
inline constexpr size_t kLinuxRates = 13;

struct PcmHeader {
  uint32_t code;
  uint32_t stream;
};
static_assert(sizeof(PcmHeader) == 8);

// Section 5.14.6.6.3
struct PcmParameters {
  uint32_t code;
  uint32_t stream;
  uint32_t buffer_size;  // In bytes, as the next.
  uint32_t period_size;
  uint32_t features;
  uint8_t channels;
  uint8_t format;
  uint8_t rate;
  uint8_t padding;
};
static_assert(sizeof(PcmParameters) == 24);

// Section 5.14.6.8: what precedes and what follows the samples.
struct TransferHeader {
  uint32_t stream;
};
static_assert(sizeof(TransferHeader) == 4);

struct TransferStatus {
  Status status;
  uint32_t latency;  // In bytes.
};
static_assert(sizeof(TransferStatus) == 8);

// Section 5.14.6.9.1
inline constexpr size_t kMostPositions = 18;
struct ChannelMapInformation {
  uint32_t node;
  uint8_t direction;
  uint8_t channels;
  uint8_t positions[kMostPositions];
};
static_assert(sizeof(ChannelMapInformation) == 24);

enum Position : uint8_t {
  kMono = 2,
  kFrontLeft = 3,
  kFrontRight = 4,
  kRearLeft = 5,
  kRearRight = 6,
  kFrontCenter = 7,
  kLowFrequency = 8,
  kSideLeft = 9,
  kSideRight = 10,
};

// High Definition Audio 1.0a, section 7.3.3.31: fields of a pin's default configuration.
inline constexpr uint32_t kDeviceLineOut = 0x0 << 20;
inline constexpr uint32_t kDeviceMicrophone = 0xa << 20;
inline constexpr uint32_t kAssociationShift = 4;
// The same, section 7.3.4.9.
inline constexpr uint32_t kPinPresenceDetect = 1 << 2;
inline constexpr uint32_t kPinOutput = 1 << 4;
inline constexpr uint32_t kPinInput = 1 << 5;

}  // namespace alcove::spec::virtio_sound
