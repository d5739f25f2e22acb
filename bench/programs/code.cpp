// Code that is made while the program runs: functions written anew and called a few times, as a just-in-time
// compiler does, and one function whose constants are changed between calls.
#include <sys/mman.h>

#include "row.h"

namespace {

constexpr size_t kArea = 1 << 20;
constexpr int kSteps = 12;
constexpr size_t kStepBytes = 12, kFunctionBytes = 3 + kSteps * kStepBytes + 1;
constexpr size_t kSpacing = 192;
using Function = uint64_t (*)(uint64_t);

void put32(uint8_t* to, uint32_t value) {
  std::memcpy(to, &value, sizeof value);
}

// mov rax, rdi; then steps of imul rax, rax, constant; xor eax, constant; and ret.
void write_function(uint8_t* to, uint32_t seed) {
  static constexpr uint8_t begin[] = {0x48, 0x89, 0xf8}, multiply[] = {0x48, 0x69, 0xc0},
                           exclusive[] = {0x35};
  std::memcpy(to, begin, sizeof begin);
  to += sizeof begin;
  for (int step = 0; step < kSteps; ++step, to += kStepBytes) {
    std::memcpy(to, multiply, sizeof multiply);
    put32(to + 3, seed + static_cast<uint32_t>(step) * 2 + 1);
    std::memcpy(to + 7, exclusive, sizeof exclusive);
    put32(to + 8, seed ^ 0x5a5a);
  }
  *to = 0xc3;
}

Function function_at(uint8_t* code) {
  return reinterpret_cast<Function>(code);
}

// Functions follow one another through the area; each is called ten times.
uint64_t fresh(uint8_t* area, uint64_t rounds) {
  uint64_t sum = 1;
  for (uint64_t round = 0; round < rounds; ++round) {
    uint8_t* const code = area + round % (kArea / kSpacing) * kSpacing;
    write_function(code, static_cast<uint32_t>(round));
    for (int call = 0; call < 10; ++call) sum = function_at(code)(sum + static_cast<uint64_t>(call));
  }
  return sum;
}

// One function whose first constant is another before each call.
uint64_t modified(uint8_t* area, uint64_t rounds) {
  write_function(area, 99);
  uint64_t sum = 1;
  for (uint64_t round = 0; round < rounds; ++round) {
    put32(area + 6, static_cast<uint32_t>(round) | 1);
    sum = function_at(area)(sum);
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Rows rows(argc, argv);
  static_assert(kFunctionBytes <= kSpacing);
  void* const memory =
      mmap(nullptr, kArea, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto* const area = static_cast<uint8_t*>(memory);
  rows.rate("fresh-code", "kfunctions/s", 1 / 1e3, 100, 0xf2c5eee3,
            [&](uint64_t rounds) { return fresh(area, rounds); });
  rows.rate("modified-code", "kchanges/s", 1 / 1e3, 100, 0x91d5eee3,
            [&](uint64_t rounds) { return modified(area, rounds); });
}
