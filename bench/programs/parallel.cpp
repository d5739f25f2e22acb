// Work that divides: two threads, each with its own table and now and then a number that both count.
#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "row.h"

namespace {

std::atomic<uint64_t> shared;

uint64_t part(uint64_t seed, uint64_t rounds) {
  auto table = std::make_unique<std::array<uint64_t, 4096>>();
  for (uint64_t& entry : *table) entry = seed = bench::mix(seed, 17);
  uint64_t sum = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 1000; ++i) {
      uint64_t& entry = (*table)[seed & 4095];
      seed = bench::mix(seed, entry);
      entry = seed ^ seed >> 31;
      sum += seed % 3 ? entry : seed;
    }
    shared.fetch_add(1, std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Rows(argc, argv)
      .rate("parallel", "Msteps/s", 2 * 1000 / 1e6, 10, 0xa477c23be0d3f2ea, [](uint64_t rounds) {
        shared = 0;
        uint64_t first = 0, second = 0;
        std::thread other([&] { second = part(2, rounds); });
        first = part(1, rounds);
        other.join();
        return first ^ second ^ shared;
      });
}
