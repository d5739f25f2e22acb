// Runs more code than any code cache holds, all of it different, and then waits: for looking at the process
// from outside.
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

int main() {
  constexpr size_t kArea = 128 << 20, kSpacing = 192;
  void* const memory =
      mmap(nullptr, kArea, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  std::puts("fill: runs");
  std::fflush(stdout);
  uint64_t sum = 0;
  for (size_t at = 0; at < kArea; at += kSpacing) {
    auto* const code = static_cast<uint8_t*>(memory) + at;
    // add rdi, constant …; mov rax, rdi; ret
    uint8_t* to = code;
    for (int step = 0; step < 24; ++step, to += 7) {
      static constexpr uint8_t add[] = {0x48, 0x81, 0xc7};
      const auto constant = static_cast<uint32_t>(at) + step;
      std::memcpy(to, add, sizeof add);
      std::memcpy(to + 3, &constant, sizeof constant);
    }
    static constexpr uint8_t end[] = {0x48, 0x89, 0xf8, 0xc3};
    std::memcpy(to, end, sizeof end);
    for (int call = 0; call < 40; ++call) sum = reinterpret_cast<uint64_t (*)(uint64_t)>(code)(sum);
  }
  std::printf("fill: done, %llx\n", static_cast<unsigned long long>(sum));
}
