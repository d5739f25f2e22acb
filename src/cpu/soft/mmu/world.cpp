#include "cpu/soft/mmu/world.h"

#include "cpu/soft/engine_attention.h"

namespace alcove::cpu::soft {

void World::enter(Member& member) {
  for (;;) {
    member.inside.store(1, std::memory_order_seq_cst);
    if (stopping_.load(std::memory_order_seq_cst) == 0) return;
    leave(member);
    const std::lock_guard wait(mutex_);
  }
}

void World::leave(Member& member) {
  member.inside.store(0, std::memory_order_seq_cst);
  if (stopping_.load(std::memory_order_seq_cst) != 0) member.inside.notify_all();
}

void World::exclusively(Member* self, const std::function<void()>& action) {
  if (self) leave(*self);
  stopping_.fetch_add(1, std::memory_order_seq_cst);
  {
    const std::lock_guard alone(mutex_);
    for (Member* member : members_) {
      // Most are between blocks again within a microsecond.
      for (int spins = 0; member->inside.load(std::memory_order_seq_cst) != 0; ++spins) {
        member->cpu.attention.fetch_or(kStopAttention, std::memory_order_release);
        if (spins < 2000) {
          __builtin_ia32_pause();
        } else {
          member->inside.wait(1, std::memory_order_seq_cst);
        }
      }
    }
    action();
  }
  stopping_.fetch_sub(1, std::memory_order_seq_cst);
  if (self) enter(*self);
}

}  // namespace alcove::cpu::soft
