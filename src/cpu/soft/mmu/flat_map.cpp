#include "cpu/soft/mmu/flat_map.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "cpu/soft/mmu/mmu.h"
#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/debug.h"
#include "memory/large_pages.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPages = uint64_t{1} << 36, kHalf = kPages / 2;
constexpr size_t kTable = kPages * 8;
// What all address spaces share between the Cpu and the words: jump cache and places.
constexpr size_t kShared = FlatMap::kReadOffset - FlatMap::kUpperJumps;
constexpr size_t kSpace = 2 * kTable + FlatMap::kReadOffset, kLargePage = memory::kLargePageSize;
// More words than this are cleared by giving the tables' memory back.
constexpr size_t kLogLimit = 1 << 15;
// A guest may spread its accesses so that each needs memory for a part of the tables: no more than these.
constexpr size_t kPartLimit = 1 << 11;
// Pages of the upper half with code of supervisors. Linux' kernel has 4,000, and modules.
constexpr size_t kUpperCodeMaximum = 1 << 15;
// The same page may be logged often.
constexpr size_t kLogMaximum = 1 << 18;

uint64_t page_number(uint64_t address) {
  return address >> 12 & (kPages - 1);
}
uint64_t address_of(uint64_t page) {
  return static_cast<uint64_t>(static_cast<int64_t>(page << 28) >> 16);
}

// Only reads a word that is 0 already: then its page may stay the host's page of zeros.
void clear(uint64_t* word) {
  if (*word != 0) *word = 0;
}

// Not to be dumped: a core file's writer would make the host give memory for every page of a sparse file.
bool map_at(uint64_t address, size_t size, int file, size_t offset) {
  void* const memory = mmap(reinterpret_cast<void*>(address), size, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file, static_cast<off_t>(offset));
  return memory != MAP_FAILED && madvise(memory, size, MADV_DONTDUMP) == 0;
}

// All of the range is going to be used.
void use_large_pages(uint64_t begin, size_t size) {
  for (uint64_t page = begin; page + kLargePage <= begin + size; page += kLargePage)
    memory::provide_large_page(reinterpret_cast<std::byte*>(page));
}

}  // namespace

size_t CpuMemory::size() {
  return (sizeof(Cpu) + 4095) / 4096 * 4096;
}

CpuMemory::CpuMemory() : file_(memfd_create("alcove-cpu", MFD_CLOEXEC)) {
  void* memory = MAP_FAILED;
  if (file_ >= 0 && ftruncate(file_, static_cast<off_t>(size())) == 0)
    memory = mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (memory == MAP_FAILED) std::abort();
  cpu_ = new (memory) Cpu;
}

CpuMemory::~CpuMemory() {
  cpu_->~Cpu();
  munmap(cpu_, size());
  close(file_);
}

std::unique_ptr<FlatMap> FlatMap::create(const CpuMemory& cpu, unsigned spaces) {
  static_assert(kLowerJumps >= sizeof(Cpu));
  std::unique_ptr<FlatMap> map(new FlatMap);
  const int upper = memfd_create("alcove-upper-half", MFD_CLOEXEC);
  if (upper < 0) return nullptr;
  bool done = ftruncate(upper, static_cast<off_t>(kTable + kShared)) == 0;
  for (unsigned i = 0; done && i < spaces; ++i) {
    void* memory = memory::reserve_for_large_pages(kSpace, PROT_READ | PROT_WRITE);
    if (memory == MAP_FAILED) {
      done = i > 0;
      break;
    }
    // Words are sparse: a large page for each would be mostly zeros.
    madvise(memory, kSpace, MADV_NOHUGEPAGE);
    madvise(memory, kSpace, MADV_DONTDUMP);
    const uint64_t base = reinterpret_cast<uint64_t>(memory) + kTable;
    const Space& space = map->spaces_.emplace_back(
        Space{.base = base,
              .log = {},
              .jumps = JumpCache(base + kLowerJumps, JumpCache::kLowerBits, base + kLowerReturns)});
    done = map_at(space.base, CpuMemory::size(), cpu.file(), 0) &&
           map_at(space.base + FlatMap::kUpperJumps, kShared, upper, kTable) &&
           map_at(space.base - kTable, kTable / 2, upper, 0) &&
           map_at(space.base + kReadOffset + kTable / 2, kTable / 2, upper, kTable / 2);
    if (done) {
      use_large_pages(space.base + FlatMap::kUpperJumps, size_t{16} << JumpCache::kUpperBits);
      use_large_pages(space.base + FlatMap::places_at(false), 2 * CodePlaces::kSize);
    }
  }
  close(upper);
  if (!done) return nullptr;
  const uint64_t first = map->spaces_[0].base;
  map->upper_jumps_.emplace(first + kUpperJumps, JumpCache::kUpperBits, first + kUpperReturns);
  for (const bool user : {false, true}) map->places_.emplace_back(first + places_at(user));
  return map;
}

FlatMap::~FlatMap() {
  for (const Space& space : spaces_) munmap(reinterpret_cast<void*>(space.base - kTable), kSpace);
}

void FlatMap::drop_tables(const Space& space, bool upper) {
  const uint64_t first = upper ? kHalf : 0;
  const int advice = upper ? MADV_REMOVE : MADV_DONTNEED;
  madvise(read_word(space, first), kHalf * 8, advice);
  madvise(write_word(space, first + kHalf - 1), kHalf * 8, advice);
}

void FlatMap::clear_log(Space& space, Log& log, bool upper) {
  if (log.pages.size() <= kLogLimit && log.parts.size() < kPartLimit) {
    for (const uint64_t page : log.pages) {
      *read_word(space, page) = 0;
      clear(write_word(space, page));
    }
  } else {
    drop_tables(space, upper);
    log.forget_parts();
  }
  log.pages.clear();
  log.large.clear();
  log.huge.clear();
  log.writable.reset();
}

void FlatMap::clear_lower(Space& space) {
  clear_log(space, space.log, false);
  space.jumps.clear();
  space.supervisor_pages = false;
}

void FlatMap::select(uint64_t generation, const PagingMode& mode) {
  if (windows_) windows_->select(mode, generation);
  if (spaces_[current_].generation == generation) return;
  forget_foreign_jumps();
  auto it = std::ranges::find(spaces_, generation, &Space::generation);
  if (it == spaces_.end()) {
    it = std::ranges::min_element(spaces_, {}, &Space::last_used);
    clear_lower(*it);
    it->generation = generation;
  }
  it->last_used = ++uses_;
  current_ = static_cast<size_t>(it - spaces_.begin());
}

void FlatMap::forget(uint64_t generation) {
  const auto it = std::ranges::find(spaces_, generation, &Space::generation);
  if (it == spaces_.end()) return;
  it->generation = ~uint64_t{0};
  it->last_used = 0;
}

void FlatMap::clear_all() {
  for (Space& space : spaces_) {
    clear_lower(space);
    space.generation = ~uint64_t{0};
  }
  clear_upper_words();
  clear_upper_jumps();
  if (windows_) windows_->forget_all_pages();
}

void FlatMap::release() {
  clear_all();
  if (upper_view_) upper_view_->clear();
  if (windows_) windows_->release();
  for (Space& space : spaces_) {
    drop_tables(space, false);
    space.log.forget_parts();
    madvise(reinterpret_cast<void*>(space.base + kLowerJumps), JumpCache::size(JumpCache::kLowerBits),
            MADV_DONTNEED);
    space.jumps.renew();
  }
  drop_tables(spaces_[0], true);
  upper_.forget_parts();
  upper_local_.forget_parts();
  madvise(reinterpret_cast<void*>(spaces_[0].base + kUpperJumps), kShared, MADV_REMOVE);
  upper_jumps_->renew();
  for (CodePlaces& places : places_) places.renew();
}

void FlatMap::clear_upper_local() {
  forget_foreign_jumps();
  if (!upper_local_.pages.empty()) clear_log(spaces_[0], upper_local_, true);
}

void FlatMap::clear_upper_words() {
  clear_log(spaces_[0], upper_, true);
  clear_upper_local();
}

void FlatMap::clear_upper_jumps() {
  upper_jumps_->clear();
  upper_code_.clear();
}

void FlatMap::clear_upper(const PhysicalMemory& memory, const PagingMode& mode) {
  clear_upper_words();
  for (const uint64_t page : upper_code_.take_moved(memory, mode)) upper_jumps_->clear_page(page);
  upper_jumps_->returns().clear();
}

void FlatMap::close_upper_view() {
  upper_view_.reset();
  clear_upper_words();
}

void FlatMap::forget_page(Space& space, Log& log, uint64_t page, bool upper) {
  if (log.parts.contains(page >> 9)) {
    clear(read_word(space, page));
    clear(write_word(space, page));
  }
  if (log.large.contains(page >> 9) || log.huge.contains(page >> 18)) clear_log(space, log, upper);
}

void FlatMap::clear_page(const PagingMode& mode, uint64_t address) {
  const uint64_t page = page_number(address);
  Space& space = spaces_[current_];
  if (page < kHalf) {
    forget_page(space, space.log, page, false);
    if (windows_) windows_->flush_page(mode, address);
  } else {
    forget_page(space, upper_, page, true);
    forget_page(space, upper_local_, page, true);
  }
}

void FlatMap::enter_user() {
  Space& space = spaces_[current_];
  if (space.supervisor_pages) clear_lower(space);
}

void FlatMap::note(Space& space, Log& log, uint64_t page, bool upper) {
  if (log.pages.size() >= kLogMaximum || log.parts.size() >= kPartLimit) clear_log(space, log, upper);
  log.pages.push_back(page);
  // The same part as for the page before, mostly.
  if (log.last_part != page >> 9) log.parts.insert(log.last_part = page >> 9);
}

void FlatMap::set_words(const Space& space, Log& log, uint64_t page, const std::byte* host, bool writable) {
  const uint64_t word = reinterpret_cast<uint64_t>(host) - address_of(page) + 1;
  *read_word(space, page) = word;
  if (writable) {
    *write_word(space, page) = word;
    log.writable.set(hash(host));
  } else {
    clear(write_word(space, page));
  }
}

void FlatMap::add(uint64_t address, const std::byte* host, bool writable, bool local) {
  Space& space = spaces_[current_];
  const bool upper = address >> 63;
  const uint64_t page = page_number(address);
  if (*read_word(space, page) != 0) return;
  if (upper && upper_view_ && !(host = upper_view_->find(address, host))) return;
  Log& log = !upper ? space.log : local ? upper_local_ : upper_;
  note(space, log, page, upper);
  set_words(space, log, page, host, writable);
}

std::byte* FlatMap::show(const Cpu& cpu, uint64_t page, const std::byte* host) {
  if (!upper_view_ || has_upper_data_breakpoint(cpu)) return nullptr;
  std::byte* const shown = upper_view_->show(mode_of(cpu), page, host);
  // Words may lead where other pages are now.
  if (upper_view_->take_displaced())
    for (Log* const log : {&upper_, &upper_local_}) clear_log(spaces_[0], *log, true);
  return shown;
}

bool FlatMap::fill(const Cpu& cpu, uint64_t address) {
  const TlbEntry& entry = cpu.tlb->entry(address);
  const unsigned half = address >> 63;
  const uint64_t linear = address & kPageMask, tag = linear | cpu.tlb_generation[half];
  if (entry.read_tag != tag) return false;
  const auto* host = reinterpret_cast<const std::byte*>(linear + entry.addend);
  const std::byte* const shown = half == 1 ? show(cpu, linear, host) : nullptr;
  if (shown) host = shown;
  Space& space = spaces_[current_];
  if (half == 0 && cpu.cpl != 3 && !(entry.physical & TlbEntry::kUser)) space.supervisor_pages = true;
  const uint64_t page = page_number(address);
  Log& log = !half ? space.log : entry.physical & TlbEntry::kUpperLocal ? upper_local_ : upper_;
  if (*read_word(space, page) == 0) {
    note(space, log, page, half);
    const unsigned shift = entry.physical & TlbEntry::kSizeBits;
    if (shift >= 30) {
      log.huge.insert(page >> 18);
    } else if (shift > 12) {
      log.large.insert(page >> 9);
      if (shift > 21) log.large.insert((page >> 9) ^ 1);  // 4 MiB pages.
    }
  }
  set_words(space, log, page, host, entry.write_tag == tag && !(entry.physical & TlbEntry::kReadOnly));
  return shown != nullptr;
}

void FlatMap::forbid_writes(const std::byte* host_page) {
  const auto forbid = [&](Space& space, const Log& log) {
    if (!log.writable.test(hash(host_page))) return;
    for (const uint64_t page : log.pages) {
      uint64_t* const word = write_word(space, page);
      if (*word != 0 && *word - 1 + address_of(page) == reinterpret_cast<uint64_t>(host_page)) *word = 0;
    }
  };
  for (Space& space : spaces_) forbid(space, space.log);
  forbid(spaces_[0], upper_);
  forbid(spaces_[0], upper_local_);
  if (upper_view_)
    upper_view_->for_each_address(
        host_page, [&](uint64_t address) { clear(write_word(spaces_[0], page_number(address))); });
  if (windows_) windows_->forbid_writes(host_page);
}

void FlatMap::forbid_all_writes() {
  for (Space& space : spaces_)
    for (const uint64_t page : space.log.pages) clear(write_word(space, page));
  for (const Log* log : {&upper_, &upper_local_})
    for (const uint64_t page : log->pages) clear(write_word(spaces_[0], page));
  if (windows_) windows_->forget_all_pages();
}

bool FlatMap::open_window(const PagingMode& mode) {
  const Space& space = spaces_[current_];
  std::vector<uint64_t> numbers;
  if (!space.supervisor_pages) numbers = space.log.pages;
  std::ranges::sort(numbers);
  numbers.erase(std::ranges::unique(numbers).begin(), numbers.end());
  std::vector<Window::Page> pages;
  for (const uint64_t number : numbers) {
    const uint64_t word = *read_word(space, number), address = address_of(number);
    if (word == 0) continue;
    pages.push_back({.address = address,
                     .host = reinterpret_cast<const std::byte*>(word - 1 + address),
                     .writable = *write_word(space, number) != 0,
                     .size = 4096});
  }
  return windows_->open(mode, pages);
}

void FlatMap::forget_foreign_jumps() {
  if (foreign_jumps_) clear_jumps();
}

void FlatMap::add_jump(bool user, const Target& target) {
  note_code(user, target.address);
  if (!user) note_upper_code(target);
  (user ? spaces_[current_].jumps : *upper_jumps_).add(target.address, target.code);
}

void FlatMap::add_place(bool user, const Target& target) {
  (user ? spaces_[current_].jumps : *upper_jumps_).add_page(target.address, target.physical);
  places_[user].add(target.physical, target.code);
}

void FlatMap::note_upper_code(const Target& target) {
  if (upper_code_.size() >= kUpperCodeMaximum) clear_upper_jumps();
  upper_code_.note(target.address, target.physical);
  if (target.crosses) upper_code_.note_unknown(target.address + memory::kPageSize);
}

void FlatMap::remove_jumps(uint64_t offset, const uint8_t* code, std::optional<uint64_t> page) {
  for (Space& space : spaces_) space.jumps.remove(offset, code);
  upper_jumps_->remove(offset, code);
  if (page && *page >> 63) upper_jumps_->direct().cut(*page);
  if (windows_) windows_->remove_jumps(offset, code, page);
}

void FlatMap::clear_jumps(uint64_t page) {
  spaces_[current_].jumps.clear_page(page);
  upper_jumps_->clear_page(page);
  upper_code_.forget(page);
  if (Window* const present = window()) {
    present->jumps().clear_page(page);
    present->jumps().returns().clear();
  }
}

void FlatMap::clear_jumps() {
  foreign_jumps_ = false;
  for (Space& space : spaces_) space.jumps.clear();
  if (windows_) windows_->clear_jumps();
  clear_upper_jumps();
}

}  // namespace alcove::cpu::soft
