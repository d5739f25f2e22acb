// What the benchmark programs share: rows that are asked for by name, verified, and run for a fixed time.
#ifndef ALCOVE_BENCH_PROGRAMS_ROW_H_
#define ALCOVE_BENCH_PROGRAMS_ROW_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {

// `program SECONDS ROW…`: how long each row runs, and which of the program's rows.
class Rows {
 public:
  Rows(int argc, char** argv)
      : seconds_(argc > 1 ? std::atof(argv[1]) : 1), count_(argc - 2), names_(argv + 2) {}

  bool wants(const char* name) const {
    for (int i = 0; i < count_; ++i) {
      if (!std::strcmp(names_[i], name)) return true;
    }
    return count_ <= 0;
  }

  // Prints `name value unit`, the value being `scale` times the rounds a second. `work(rounds)` returns a
  // checksum, which has to be `expected` for `check` rounds; else the row has failed.
  template <typename Work>
  void rate(const char* name, const char* unit, double scale, uint64_t check, uint64_t expected,
            Work work) const {
    if (!wants(name)) return;
    const uint64_t sum = work(check);
    if (sum != expected) {
      fail(name, sum, expected);
      return;
    }
    uint64_t batch = 1;
    double took = timed(work, batch);
    while (took < seconds_ / 20) {
      batch *= took < seconds_ / 200 ? 8 : 2;
      took = timed(work, batch);
    }
    uint64_t rounds = 0;
    double elapsed = 0;
    const double begin = now();
    while (elapsed < seconds_) {
      keep(work(batch));
      rounds += batch;
      elapsed = now() - begin;
    }
    print(name, unit, scale * static_cast<double>(rounds) / elapsed);
  }

  // A row that cannot be had here.
  void absent(const char* name, const char* why) const {
    if (wants(name)) {
      std::printf("%s - %s\n", name, why);
      std::fflush(stdout);
    }
  }

  static void print(const char* name, const char* unit, double value) {
    std::printf("%s %.4g %s\n", name, value, unit);
    std::fflush(stdout);
  }

  static void fail(const char* name, uint64_t sum, uint64_t expected) {
    std::printf("%s failed checksum-%llx-instead-of-%llx\n", name, static_cast<unsigned long long>(sum),
                static_cast<unsigned long long>(expected));
    std::fflush(stdout);
  }

 private:
  static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  static void keep(uint64_t value) { asm volatile("" : : "r"(value)); }
  template <typename Work>
  static double timed(Work& work, uint64_t rounds) {
    const double begin = now();
    keep(work(rounds));
    return now() - begin;
  }

  double seconds_;
  int count_;
  char** names_;
};

// Mixes a value into a checksum.
inline uint64_t mix(uint64_t sum, uint64_t value) {
  return (sum ^ value) * 0x9e3779b97f4a7c15 + (sum >> 29);
}

inline uint64_t bits(double value) {
  uint64_t result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

}  // namespace bench

#endif  // ALCOVE_BENCH_PROGRAMS_ROW_H_
