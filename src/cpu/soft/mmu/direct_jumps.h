// Jumps of translated code that lead into other pages of the guest without looking up where these are. They
// are right as long as the JumpCache that they belong to would be.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace alcove::cpu::soft {

class DirectJumps {
 public:
  // The jump whose displacement is there now leads into the page; `otherwise` is what the displacement is to
  // be when that is not right any more.
  void add(uint64_t page, uint8_t* displacement, int32_t otherwise);
  // Those into this page.
  void cut(uint64_t page);
  void cut_all();

 private:
  struct Jump {
    uint8_t* displacement;
    int32_t otherwise;
  };
  static void cut(const std::vector<Jump>& jumps);

  std::unordered_map<uint64_t, std::vector<Jump>> jumps_;
};

}  // namespace alcove::cpu::soft
