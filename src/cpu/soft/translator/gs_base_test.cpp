#include "cpu/soft/translator/gs_base.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <array>
#include <cstdint>
#include <thread>

namespace alcove::cpu::soft {
namespace {

// Where the kernel does not keep it, a thread may lose it at any moment.
[[gnu::target("fsgsbase")]] bool takes(uint64_t base) {
  for (int tries = 0; tries < 1000; ++tries) {
    set_gs_base(base);
    if (_readgsbase_u64() == base) return true;
  }
  return false;
}

TEST(GsBase, IsEachThreadsOwn) {
  if (!can_set_gs_base()) GTEST_SKIP() << "this host has none";
  static const std::array<uint64_t, 2> words{};
  const auto first = reinterpret_cast<uint64_t>(&words[0]), second = reinterpret_cast<uint64_t>(&words[1]);
  EXPECT_TRUE(takes(first));
  std::thread([&] { EXPECT_TRUE(takes(second)); }).join();
  // Either it is there still, or it was lost and is set again.
  int restored = 0;
  while (restore_gs_base(first) && restored < 1000) ++restored;
  EXPECT_LT(restored, 1000);
}

}  // namespace
}  // namespace alcove::cpu::soft
