// Memory: streaming through arrays, copying, and chasing pointers in working sets of three sizes.
#include <numeric>
#include <utility>
#include <vector>

#include "row.h"

namespace {

uint64_t random_number(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

struct alignas(64) Link {
  Link* next;
  uint64_t number;
};

// One cycle through all links of a working set, in random order.
std::vector<Link> cycle(size_t bytes) {
  std::vector<Link> links(bytes / sizeof(Link));
  std::vector<uint32_t> order(links.size());
  std::iota(order.begin(), order.end(), 0);
  uint64_t state = 0x243f6a8885a308d3;
  for (size_t i = order.size() - 1; i; --i) std::swap(order[i], order[random_number(state) % i]);
  for (size_t i = 0; i < order.size(); ++i)
    links[order[i]] = {&links[order[(i + 1) % order.size()]], order[i]};
  return links;
}

void chase(const bench::Rows& rows, const char* name, size_t bytes, uint64_t expected) {
  if (!rows.wants(name)) return;
  const std::vector<Link> links = cycle(bytes);
  const Link* place = &links[0];
  rows.rate(name, "Mlinks/s", 1000 / 1e6, 3, expected, [&](uint64_t rounds) {
    for (uint64_t i = rounds * 1000; i; --i) place = place->next;
    return place->number;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Rows rows(argc, argv);
  if (rows.wants("stream")) {
    constexpr size_t kCount = 1 << 21;
    std::vector<double> a(kCount, 0), b(kCount), c(kCount);
    for (size_t i = 0; i < kCount; ++i)
      b[i] = static_cast<double>(i % 101), c[i] = static_cast<double>(i % 37);
    rows.rate("stream", "MB/s", 3.0 * sizeof(double) * kCount / 1e6, 2, 0x1e50f69bd1bcee2,
              [&](uint64_t rounds) {
                for (; rounds; --rounds) {
                  double *to = a.data(), *from = b.data(), *scaled = c.data();
                  asm volatile("" : "+r"(to), "+r"(from), "+r"(scaled) : : "memory");
                  for (size_t i = 0; i < kCount; ++i) to[i] = from[i] + 0.5 * scaled[i];
                }
                uint64_t sum = 0;
                for (size_t i = 0; i < kCount; i += kCount / 512 - 1)
                  sum = bench::mix(sum, bench::bits(a[i]));
                return sum;
              });
  }
  if (rows.wants("copy")) {
    constexpr size_t kCount = 1 << 21;
    std::vector<uint64_t> from(kCount), to(kCount);
    for (size_t i = 0; i < kCount; ++i) from[i] = i * i;
    rows.rate("copy", "MB/s", sizeof(uint64_t) * kCount / 1e6, 2, 0x607e1e873e7139a8, [&](uint64_t rounds) {
      for (; rounds; --rounds) {
        std::memcpy(to.data(), from.data(), sizeof(uint64_t) * kCount);
        asm volatile("" : : : "memory");
      }
      uint64_t sum = 0;
      for (size_t i = 0; i < kCount; i += kCount / 512 - 1) sum = bench::mix(sum, to[i]);
      return sum;
    });
  }
  chase(rows, "chase-16K", 16 << 10, 0x2b);
  chase(rows, "chase-1M", 1 << 20, 0x36a6);
  chase(rows, "chase-64M", 64 << 20, 0xc4cf2);
}
