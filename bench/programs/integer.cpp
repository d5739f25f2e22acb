// Integer work as in embedded benchmarks: linked lists, matrices, a checksum and a state machine over text.
// The row is the number of whole rounds a second.
#include <array>
#include <cstdint>
#include <string>

#include "row.h"

namespace {

struct Node {
  Node* next;
  int16_t key;
  int16_t value;
};

uint16_t checksum(uint16_t crc, uint32_t data) {
  for (int bit = 0; bit < 32; ++bit) {
    const bool carry = (crc ^ data) & 1;
    crc >>= 1;
    data >>= 1;
    if (carry) crc ^= 0xa001;
  }
  return crc;
}

// Builds a list, reverses it, searches every key, sorts by value by insertion.
uint16_t list_round(uint16_t seed) {
  constexpr int kNodes = 60;
  static std::array<Node, kNodes> nodes;
  for (int i = 0; i < kNodes; ++i) {
    nodes[i] = {i + 1 < kNodes ? &nodes[i + 1] : nullptr, static_cast<int16_t>(i),
                static_cast<int16_t>((seed * 31 + i * 17) & 0x7fff)};
  }
  Node* head = nullptr;
  for (Node* node = nodes.data(); node;) {
    Node* next = node->next;
    node->next = head;
    head = node;
    node = next;
  }
  uint16_t crc = seed;
  for (int16_t key = 0; key < kNodes; ++key) {
    Node* node = head;
    while (node && node->key != key) node = node->next;
    crc = checksum(crc, static_cast<uint32_t>(node->value));
  }
  Node* sorted = nullptr;
  while (head) {
    Node* node = head;
    head = head->next;
    Node** place = &sorted;
    while (*place && (*place)->value < node->value) place = &(*place)->next;
    node->next = *place;
    *place = node;
  }
  return checksum(crc, static_cast<uint32_t>(sorted->value));
}

uint16_t matrix_round(uint16_t seed) {
  constexpr int kSize = 12;
  static std::array<std::array<int16_t, kSize>, kSize> a, b;
  static std::array<std::array<int32_t, kSize>, kSize> product;
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; ++j)
      a[i][j] = static_cast<int16_t>(seed + i * j), b[i][j] = static_cast<int16_t>(seed ^ (i + j));
  }
  uint32_t sum = 0;
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; ++j) {
      int32_t element = 0;
      for (int k = 0; k < kSize; ++k) element += a[i][k] * b[k][j];
      product[i][j] = element;
      sum += static_cast<uint32_t>(element >> 2 & 0xffff) * static_cast<uint32_t>(element >> 5 & 0x7f);
    }
  }
  return checksum(seed, sum);
}

uint16_t text_round(uint16_t seed) {
  static const std::string text = "5012,-0.25e7,+14,abc,0x1f,-874.1,1.5e,+,9e-3,77777,a1b2,-1,0.00001,3.e4,";
  enum State { start, sign, integer, fraction, exponent, invalid, kStates };
  std::array<uint32_t, kStates> counts{};
  State state = start;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = static_cast<char>(text[i] ^ ((seed >> (i % 13)) & (i % 29 == 0)));
    const bool digit = c >= '0' && c <= '9';
    if (c == ',') {
      ++counts[state];
      state = start;
      continue;
    }
    switch (state) {
      case start:
        state = digit ? integer : (c == '+' || c == '-') ? sign : invalid;
        break;
      case sign:
        state = digit ? integer : invalid;
        break;
      case integer:
        state = digit ? integer : c == '.' ? fraction : c == 'e' ? exponent : invalid;
        break;
      case fraction:
        state = digit ? fraction : c == 'e' ? exponent : invalid;
        break;
      case exponent:
        state = digit || c == '-' ? exponent : invalid;
        break;
      default:
        break;
    }
  }
  uint16_t crc = seed;
  for (uint32_t count : counts) crc = checksum(crc, count);
  return crc;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Rows(argc, argv).rate("integer", "rounds/s", 1, 1000, 0xeaf5, [](uint64_t rounds) {
    uint16_t crc = 0x3415;
    for (; rounds; --rounds) crc = text_round(matrix_round(list_round(crc)));
    return static_cast<uint64_t>(crc);
  });
}
