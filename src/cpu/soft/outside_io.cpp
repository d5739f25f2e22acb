#include "cpu/soft/engine.h"

namespace alcove::cpu::soft {
namespace {

class Outside {
 public:
  Outside(World& world, World::Member& member) : world_(world), member_(member) {
    release_mxcsr(member_.cpu);
    world_.leave(member_);
  }
  ~Outside() { world_.enter(member_); }

 private:
  World& world_;
  World::Member& member_;
};

}  // namespace

void OutsideIo::port_read(uint16_t port, std::span<std::byte> data) {
  const Outside outside(world_, member_);
  io_.port_read(port, data);
}

void OutsideIo::port_write(uint16_t port, std::span<const std::byte> data) {
  const Outside outside(world_, member_);
  io_.port_write(port, data);
}

void OutsideIo::memory_read(uint64_t address, std::span<std::byte> data) {
  const Outside outside(world_, member_);
  io_.memory_read(address, data);
}

void OutsideIo::memory_write(uint64_t address, std::span<const std::byte> data) {
  const Outside outside(world_, member_);
  io_.memory_write(address, data);
}

void OutsideIo::end_of_interrupt(uint8_t vector) {
  const Outside outside(world_, member_);
  io_.end_of_interrupt(vector);
}

}  // namespace alcove::cpu::soft
