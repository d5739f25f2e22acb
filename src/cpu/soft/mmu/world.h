// Brings all processors of a machine to a stand: for what must not happen beside a running one (an atomic
// access that crosses cache lines, taking away write permission from their TLBs).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// A processor is inside while it may touch guest memory or its TLBs. In HLT, device calls and outside run()
// it is not, so nobody waits for it; what it knew of memory before it must not use afterwards, except the
// host addresses of RAM.
class World {
 public:
  struct Member {
    explicit Member(Cpu& processor) : cpu(processor) {}
    Cpu& cpu;
    std::atomic<uint32_t> inside{0};
  };

  // Before any processor runs.
  void add(Member& member) { members_.push_back(&member); }

  void enter(Member& member);
  void leave(Member& member);

  // Runs `action` while no processor is inside. `self`: the calling processor, which is inside; null for
  // other threads. The processors notice between blocks.
  void exclusively(Member* self, const std::function<void()>& action);

 private:
  std::vector<Member*> members_;
  std::atomic<uint32_t> stopping_{0};  // How many want to be alone.
  std::mutex mutex_;                   // Held by the one that is.
};

}  // namespace alcove::cpu::soft
