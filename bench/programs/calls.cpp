// Control transfers: recursion, a sort through a function pointer, calls by a table, virtual calls.
#include <array>
#include <memory>
#include <vector>

#include "row.h"

namespace {

// Without inlining of the recursion into itself, so that each call is one.
[[gnu::noinline, gnu::optimize("O1")]] uint64_t fibonacci(uint64_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

int compare(const void* a, const void* b) {
  const uint32_t left = *static_cast<const uint32_t*>(a), right = *static_cast<const uint32_t*>(b);
  return left < right ? -1 : left > right;
}

uint64_t sort(uint64_t rounds) {
  static std::array<uint32_t, 4096> numbers;
  uint64_t sum = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    uint32_t seed = 12345 + static_cast<uint32_t>(round % 16);
    for (uint32_t& number : numbers) number = seed = seed * 1664525 + 1013904223;
    std::qsort(numbers.data(), numbers.size(), sizeof numbers[0], compare);
    sum = bench::mix(sum, numbers[round % numbers.size()]);
  }
  return sum;
}

using Operation = uint64_t (*)(uint64_t);
template <int which>
[[gnu::noinline]] uint64_t operation(uint64_t value) {
  return (value ^ which) * (2 * which + 3) + (value >> (which + 7));
}
constexpr std::array<Operation, 8> operations = {operation<0>, operation<1>, operation<2>, operation<3>,
                                                 operation<4>, operation<5>, operation<6>, operation<7>};

uint64_t indirect(uint64_t rounds) {
  const Operation* table = operations.data();
  asm("" : "+r"(table));
  uint64_t value = 1;
  for (uint64_t i = 0; i < rounds * 1000; ++i) value = table[(i ^ i >> 3) & 7](value);
  return value;
}

struct Shape {
  virtual ~Shape() = default;
  virtual uint64_t area(uint64_t scale) const = 0;
};
struct Square : Shape {
  explicit Square(uint64_t s) : side(s) {}
  uint64_t area(uint64_t scale) const override { return side * side * scale; }
  uint64_t side;
};
struct Rectangle : Shape {
  explicit Rectangle(uint64_t s) : width(s), height(s + 3) {}
  uint64_t area(uint64_t scale) const override { return width * height * scale; }
  uint64_t width, height;
};
struct Cross : Shape {
  explicit Cross(uint64_t s) : arm(s) {}
  uint64_t area(uint64_t scale) const override { return 5 * arm * arm * scale; }
  uint64_t arm;
};

std::vector<std::unique_ptr<Shape>> shapes() {
  std::vector<std::unique_ptr<Shape>> result;
  for (uint64_t i = 0; i < 300; ++i) {
    switch (i % 7 % 3) {
      case 0:
        result.push_back(std::make_unique<Square>(i));
        break;
      case 1:
        result.push_back(std::make_unique<Rectangle>(i));
        break;
      default:
        result.push_back(std::make_unique<Cross>(i));
    }
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Rows rows(argc, argv);
  // fibonacci(20) makes 21,891 calls.
  rows.rate("recursion", "Mcalls/s", 21891 / 1e6, 1, 6765, [](uint64_t rounds) {
    uint64_t n = 20, sum = 0;
    for (; rounds; --rounds) {
      asm("" : "+r"(n));
      sum += fibonacci(n);
    }
    return sum;
  });
  rows.rate("sort", "sorts/s", 1, 20, 0xfdd708c43d94f05b, sort);
  rows.rate("indirect-calls", "Mcalls/s", 1000 / 1e6, 10, 0x3b7528dbc244a109, indirect);
  const auto all = shapes();
  rows.rate("virtual-calls", "Mcalls/s", 300 / 1e6, 10, 0x3f89f127, [&](uint64_t rounds) {
    uint64_t sum = 0;
    for (; rounds; --rounds) {
      for (const auto& shape : all) sum += shape->area(rounds);
    }
    return sum;
  });
}
