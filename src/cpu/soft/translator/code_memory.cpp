#include "cpu/soft/translator/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

namespace alcove::cpu::soft {
namespace {

// Hosts may ask that executable files say so (Linux 6.3 and later know the flag).
int create_file() {
  constexpr unsigned kExecutable = 0x10;  // MFD_EXEC
  const int file = memfd_create("alcove-translations", MFD_CLOEXEC | kExecutable);
  return file >= 0 ? file : memfd_create("alcove-translations", MFD_CLOEXEC);
}

}  // namespace

std::unique_ptr<CodeMemory> CodeMemory::create(size_t size) {
  const int file = create_file();
  if (file < 0) return nullptr;
  void* writable = MAP_FAILED;
  void* executable = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(size)) == 0) {
    writable = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    executable = mmap(nullptr, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, file, 0);
  }
  close(file);
  if (writable == MAP_FAILED || executable == MAP_FAILED) {
    if (writable != MAP_FAILED) munmap(writable, size);
    if (executable != MAP_FAILED) munmap(executable, size);
    return nullptr;
  }
  return std::unique_ptr<CodeMemory>(
      new CodeMemory(static_cast<uint8_t*>(writable), static_cast<const uint8_t*>(executable), size));
}

CodeMemory::~CodeMemory() {
  munmap(writable_, size_);
  munmap(const_cast<uint8_t*>(executable_), size_);
}

void CodeMemory::truncate(size_t size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t kept = (size + page - 1) / page * page;
  if (used_ > kept) madvise(writable_ + kept, size_ - kept, MADV_REMOVE);
  used_ = size;
}

}  // namespace alcove::cpu::soft
