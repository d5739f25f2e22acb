#include "cpu/soft/translator/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "memory/large_pages.h"

namespace alcove::cpu::soft {
namespace {

// Hosts may ask that executable files say so (Linux 6.3 and later know the flag).
int create_file() {
  constexpr unsigned kExecutable = 0x10;  // MFD_EXEC
  const int file = memfd_create("alcove-translations", MFD_CLOEXEC | kExecutable);
  return file >= 0 ? file : memfd_create("alcove-translations", MFD_CLOEXEC);
}

constexpr size_t kLargePage = memory::kLargePageSize;
constexpr size_t kAhead = 64 << 10;  // More than most units take.

}  // namespace

std::unique_ptr<CodeMemory> CodeMemory::create(size_t size, memory::Populator* populator) {
  const int file = create_file();
  if (file < 0) return nullptr;
  void* writable = MAP_FAILED;
  void* executable = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(size)) == 0) {
    writable = memory::map_for_large_pages(file, size, 0, PROT_READ | PROT_WRITE);
    executable = memory::map_for_large_pages(file, size, 0, PROT_READ | PROT_EXEC);
  }
  close(file);
  if (writable == MAP_FAILED || executable == MAP_FAILED) {
    if (writable != MAP_FAILED) munmap(writable, size);
    if (executable != MAP_FAILED) munmap(executable, size);
    return nullptr;
  }
  return std::unique_ptr<CodeMemory>(new CodeMemory(
      static_cast<uint8_t*>(writable), static_cast<const uint8_t*>(executable), size, populator));
}

CodeMemory::CodeMemory(uint8_t* writable, const uint8_t* executable, size_t size,
                       memory::Populator* populator)
    : writable_(writable), executable_(executable), size_(size), populator_(populator) {
  if (populator)
    filled_.emplace(*populator, reinterpret_cast<std::byte*>(writable), size,
                    reinterpret_cast<std::byte*>(const_cast<uint8_t*>(executable)));
  prepare();
}

CodeMemory::~CodeMemory() {
  filled_.reset();
  munmap(writable_, size_);
  munmap(const_cast<uint8_t*>(executable_), size_);
}

// Code is executed all over the place: small pages would not fit into the host's instruction TLB, and each
// costs page faults of both mappings. Only time is lost where the host has no others.
void CodeMemory::prepare() {
  while (prepared_ + kLargePage <= size_ && used_ + kAhead > prepared_) {
    std::byte* const host = reinterpret_cast<std::byte*>(writable_) + prepared_;
    if (populator_) populator_->claim(host);
    memory::provide_large_page(host);
    memory::provide_large_page(reinterpret_cast<std::byte*>(const_cast<uint8_t*>(executable_)) + prepared_);
    prepared_ += kLargePage;
  }
  if (filled_) filled_->used(used_);
}

void CodeMemory::commit(size_t size) {
  used_ += size;
  prepare();
}

void CodeMemory::release() {
  if (filled_) filled_->forget();
  const size_t kept = (used_ + kLargePage - 1) / kLargePage * kLargePage;
  if (prepared_ > kept) madvise(writable_ + kept, prepared_ - kept, MADV_REMOVE);
  prepared_ = std::min(prepared_, kept);
}

}  // namespace alcove::cpu::soft
