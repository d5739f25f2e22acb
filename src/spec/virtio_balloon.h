// Wire facts of the virtio memory balloon (virtio 1.2, section 5.5). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::virtio {

inline constexpr uint64_t kBalloonFeatureStatistics = uint64_t{1} << 1;
inline constexpr uint64_t kBalloonFeatureDeflateOnOutOfMemory = uint64_t{1} << 2;
inline constexpr uint64_t kBalloonFeaturePageReporting = uint64_t{1} << 5;

inline constexpr uint64_t kBalloonPageSize = 4096;  // Of page numbers, whatever the guest's pages are.

// Section 5.5.2, queues.
inline constexpr unsigned kBalloonInflateQueue = 0;
inline constexpr unsigned kBalloonDeflateQueue = 1;
inline constexpr unsigned kBalloonStatisticsQueue = 2;
inline constexpr unsigned kBalloonHintingQueue = 3;
inline constexpr unsigned kBalloonReportingQueue = 4;

// Section 5.5.4, configuration layout.
struct BalloonConfiguration {
  uint32_t num_pages;  // What the device asks for.
  uint32_t actual;     // What the driver gave.
  uint32_t free_page_hint_cmd_id;
  uint32_t poison_val;
};
static_assert(sizeof(BalloonConfiguration) == 16);

// Section 5.5.6.3, statistics.
struct [[gnu::packed]] BalloonStatistic {
  uint16_t tag;
  uint64_t value;
};
static_assert(sizeof(BalloonStatistic) == 10);

inline constexpr uint16_t kBalloonSwapIn = 0;
inline constexpr uint16_t kBalloonSwapOut = 1;
inline constexpr uint16_t kBalloonMajorFaults = 2;
inline constexpr uint16_t kBalloonMinorFaults = 3;
inline constexpr uint16_t kBalloonFreeMemory = 4;
inline constexpr uint16_t kBalloonTotalMemory = 5;
inline constexpr uint16_t kBalloonAvailableMemory = 6;
inline constexpr uint16_t kBalloonDiskCaches = 7;

}  // namespace alcove::spec::virtio
