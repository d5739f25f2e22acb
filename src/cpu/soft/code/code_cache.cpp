#include "cpu/soft/code/code_cache.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>

#include "cpu/soft/engine.h"
#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/threading.h"

namespace alcove::cpu::soft {
namespace {

constexpr size_t kSnapshotSize = 256;

uint64_t page_hash(uint64_t linear) {
  return (linear >> 12) * 0x9e37'79b9'7f4a'7c15 >> 48;
}

size_t bucket_of(uint64_t physical, size_t count) {
  return physical * 0x9e37'79b9'7f4a'7c15 >> 40 & (count - 1);
}

// Instructions that cross into another page begin in the last bytes of theirs, so the page's number has to
// tell them apart.
size_t lone_of(uint64_t linear, size_t count) {
  return (linear >> 12) % count;
}

uint64_t nanoseconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

void execute_device_not_available(Cpu& cpu, const Insn&) {
  raise(cpu, kDeviceNotAvailable);
}

}  // namespace

CodeCache::CodeCache(Engine& engine) : engine_(engine), epoch_(engine.shared().memory.code_epoch()) {
  void* const memory = mmap(nullptr, kTablesSize + kArenaSize, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  madvise(memory, kTablesSize + kArenaSize, MADV_HUGEPAGE);
  tables_ = new (memory) Tables;
  arena_ = static_cast<std::byte*>(memory) + kTablesSize;
  new_filled_.emplace(engine.shared().populator, arena_, kNewSize);
  kept_filled_.emplace(engine.shared().populator, arena_ + kNewSize, kKeptSize);
}

CodeCache::~CodeCache() {
  new_filled_.reset();
  kept_filled_.reset();
  munmap(tables_, kTablesSize + kArenaSize);
}

void CodeCache::link(Block& from, int64_t distance, Block& to) {
  if (!from.state || from.state != to.state || !from.chains || to.lone) return;
  if (from.mode != to.mode || from.mode.limited ||
      to.physical - from.physical != static_cast<uint64_t>(distance))
    return;
  const size_t slot = from.distances[0] == Block::kNoDistance || from.distances[0] == distance ? 0 : 1;
  from.distances[slot] = static_cast<int32_t>(distance);
  from.followers[slot] = &to;
}

BlockMode CodeCache::mode_at(const Cpu& cpu, uint8_t cpl) const {
  BlockMode mode;
  mode.code_size = 8;
  mode.privileged = cpl == 0;
  mode.user = cpl == 3;
  mode.no_fpu = cpu.cr0 >> 2 & 1;
  mode.fpu_away = cpu.cr0 >> 3 & 1;
  mode.sse = cpu.cr4 >> 9 & 1;
  mode.window = mode.user && engine_.translator() ? engine_.translator()->window_number() & 3 : 0;
  mode.avx = (cpu.cr4 >> 18 & 1) && (cpu.xcr0 & kXcr0Avx) == kXcr0Avx;
  return mode;
}

void CodeCache::update_mode(const Cpu& cpu) {
  BlockMode mode = mode_at(cpu, cpu.cpl);
  if (cpu.code_size != 8) {
    mode.code_size = cpu.code_size;
    mode.real_mode = cpu.real_mode() || cpu.virtual_8086();
    mode.limited = cpu.segments[cs].limit != ~0u;
    mode.window = 0;
  }
  code_limit_ = cpu.segments[cs].limit;
  if (mode == mode_ && mode_count_ != 0) return;
  mode_ = mode;
  size_t number = std::ranges::find(modes_.begin(), modes_.begin() + mode_count_, mode) - modes_.begin();
  if (number == mode_count_) {
    if (mode_count_ == modes_.size()) {
      forget_translations();
      mode_count_ = 0;
      number = 0;
    }
    modes_[mode_count_++] = mode;
  }
  mode_number_ = number << 48;
}

void CodeCache::forget_translations() {
  tables_->jumps.fill({});
  executed_pages_.fill(0);
  fetches_.fill({});
  for (LoneBlock& lone : lone_) lone.tag = ~uint64_t{0};
  large_ = {};
  if (Translator* const translator = engine_.translator()) translator->forget_jumps();
}

void CodeCache::forget_page(uint64_t linear) {
  const Bounds& large = large_[linear >> 63];
  if (linear >= large.begin && linear < large.end) {
    forget_translations();
    return;
  }
  // Those that begin in it, and those that cross into it.
  for (uint64_t begin : {linear, linear - memory::kPageSize}) lone_[lone_of(begin, kLone)].tag = ~uint64_t{0};
  fetches_[(linear >> 12) % kFetches].tag = ~uint64_t{0};
  const uint64_t hash = page_hash(linear);
  if (!(executed_pages_[hash / 64] >> (hash % 64) & 1)) return;
  constexpr uint64_t kPageOfTag = 0xffff'ffff'f000;
  // Where places of the page have their entries (jump_index()).
  for (JumpEntry& entry :
       std::span(tables_->jumps).subspan(jump_index(linear) & kPageMask, memory::kPageSize))
    if (((entry.tag ^ linear) & kPageOfTag) == 0) entry.tag = ~uint64_t{0};
  if (Translator* const translator = engine_.translator()) translator->forget_jumps(linear & kPageMask);
}

void CodeCache::flush() {
  for (LoneBlock& lone : lone_) lone.tag = ~uint64_t{0};
  new_used_ = kept_used_ = 0;
  flush_wanted_ = false;
  tables_->buckets.fill(nullptr);
  tables_->jumps.fill({});
  executed_pages_.fill(0);
  ++flushes_;
  if (Translator* const translator = engine_.translator()) translator->flush();
}

void CodeCache::idle() {
  constexpr uint64_t kPeriod = 10'000'000'000;
  const uint64_t now = nanoseconds(CLOCK_MONOTONIC_COARSE);
  if (now - idle_since_ < kPeriod) return;
  const uint64_t used = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  const bool idled = used - idle_used_ < (now - idle_since_) / 20;
  idle_since_ = now;
  idle_used_ = used;
  if (!idled || new_used_ + kept_used_ <= kIdleSize) return;
  flush();
  new_filled_->forget();
  kept_filled_->forget();
  madvise(arena_, kArenaSize, MADV_DONTNEED);
  if (Translator* const translator = engine_.translator()) translator->release();
  malloc_trim(0);
}

// Of a block with its instructions, the end behind them, and its bytes.
size_t CodeCache::size_of(const Block& block) {
  const size_t size = sizeof(Block) + (block.count + 1u) * sizeof(Insn) + block.length;
  return size + -size % alignof(Block);
}

Block* CodeCache::allocate(const Block& block) {
  const size_t size = size_of(block);
  if (new_used_ + size > kNewSize) flush_new();
  auto* made = new (arena_ + new_used_) Block(block);
  new_used_ += size;
  new_filled_->used(new_used_);
  return made;
}

void CodeCache::flush_new() {
  new_used_ = 0;
  for (Block*& first : tables_->buckets) {
    Block** link = &first;
    while (*link) {
      if (is_kept(*link))
        link = &(*link)->next_in_bucket;
      else
        *link = (*link)->next_in_bucket;
    }
  }
  for (size_t at = 0; at < kept_used_;) {
    auto* const block = reinterpret_cast<Block*>(arena_ + kNewSize + at);
    block->distances.fill(Block::kNoDistance);
    at += size_of(*block);
  }
  tables_->jumps.fill({});
  ++flushes_;
}

bool CodeCache::has_room_to_keep(std::span<Block* const> blocks) {
  size_t size = 0;
  for (const Block* const block : blocks) size += size_of(*block);
  flush_wanted_ |= kept_used_ + size > kKeptSize;
  return !flush_wanted_;
}

Block* CodeCache::copy_to_kept(Block& block) {
  auto* const kept = new (arena_ + kNewSize + kept_used_) Block(block);
  kept_used_ += size_of(block);
  kept_filled_->used(kept_used_);
  std::uninitialized_copy_n(block.instructions(), block.count + 1u, kept->instructions());
  std::ranges::copy(block.code(), kept->code().begin());
  return kept;
}

std::optional<CodeCache::Crossing> CodeCache::keep_crossing(const Cpu& cpu) {
  LoneBlock& lone = lone_[lone_of(cpu.rip, kLone)];
  if (!lone.kept) {
    if (!has_room_to_keep(std::array{&lone.block})) return std::nullopt;
    lone.kept = copy_to_kept(lone.block);
  }
  return Crossing{lone.kept, lone.second_state};
}

Block* CodeCache::keep(Block& block) {
  if (is_kept(&block)) return &block;
  Block** link = &tables_->buckets[bucket_of(block.physical, kBuckets)];
  while (*link && *link != &block) link = &(*link)->next_in_bucket;
  Block* const kept = copy_to_kept(block);
  if (*link) *link = kept;
  block.invalidate(epoch());
  block.moved = true;
  block.next_in_bucket = kept;
  return kept;
}

CodeCache::FetchEntry CodeCache::fetch_page(Cpu& cpu, uint64_t linear) {
  const uint64_t tag = (linear & kPageMask) | cpu.tlb_generation[linear >> 63];
  FetchEntry& entry = fetches_[(linear >> 12) % kFetches];
  if (entry.tag == tag && entry.user == mode_.user) return entry;
  if (cpu.long_mode() && !is_canonical(linear)) raise(cpu, kGeneralProtection, 0);
  uint64_t page_size = 0;
  const Mmu::Target target = engine_.mmu().fetch(cpu, linear, page_size);
  if (page_size > memory::kPageSize) {
    Bounds& large = large_[linear >> 63];
    large.begin = std::min(large.begin, linear & ~(page_size - 1));
    large.end = std::max(large.end, linear | (page_size - 1));
  }
  entry = {.tag = tag,
           .user = mode_.user != 0,
           .host = target.host,
           .state = target.state,
           .physical = target.physical};
  return entry;
}

void CodeCache::remember(Cpu& cpu, uint64_t linear, Block* block) {
  tables_->jumps[jump_index(linear)] = {jump_tag(cpu, linear), block};
  note_executed(linear);
}

void CodeCache::note_executed(uint64_t linear) {
  const uint64_t hash = page_hash(linear);
  executed_pages_[hash / 64] |= uint64_t{1} << (hash % 64);
}

Block* CodeCache::find_slow(Cpu& cpu, uint64_t linear) {
  const uint64_t offset = linear & ~kPageMask;
  if (offset > memory::kPageSize - kMaximumInsnLength) {
    LoneBlock& lone = lone_[lone_of(linear, kLone)];
    if (lone.tag == jump_tag(cpu, linear) && lone.block.mode == mode_ && lone.block.valid(epoch()) &&
        lone.second_generation == lone.second_state->code_generation.load(std::memory_order_acquire))
      return lone.kept ? lone.kept : &lone.block;
  }
  if (mode_.limited && cpu.rip > code_limit_) raise(cpu, kGeneralProtection, 0);
  if (flush_wanted_) flush();

  const FetchEntry page = fetch_page(cpu, linear);
  if (!page.host) return build_uncached(cpu, linear);
  const uint64_t physical = page.physical + offset;
  Block** link = &tables_->buckets[bucket_of(physical, kBuckets)];
  while (*link) {
    Block& other = **link;
    if (other.physical != physical) {
      link = &other.next_in_bucket;
    } else if (!other.valid(epoch())) {
      *link = other.next_in_bucket;
    } else if (other.mode != mode_) {
      link = &other.next_in_bucket;
    } else {
      break;
    }
  }
  Block* block = *link;
  if (!block) block = build(cpu, linear, page);
  if (mode_.limited && cpu.rip + block->length - 1 > code_limit_) return build_uncached(cpu, linear);
  if (!block->lone) remember(cpu, linear, block);
  return block;
}

void CodeCache::apply_mode(Insn& insn) const {
  const uint32_t flags = insn.row->flags;
  constexpr uint32_t kChecked = kPrivileged | kProtected | kSse | kX87 | kMmx | kAvx;
  if (!(flags & kChecked)) return;
  if ((flags & kProtected) && mode_.real_mode) {
    insn.handler = execute_invalid_opcode;
  } else if ((flags & kPrivileged) && !mode_.privileged) {
    insn.handler = execute_general_protection;
  } else if ((flags & kSse) && (mode_.no_fpu || !mode_.sse)) {
    insn.handler = execute_invalid_opcode;
  } else if ((flags & kAvx) && (mode_.real_mode || !mode_.avx)) {
    insn.handler = execute_invalid_opcode;
  } else if ((flags & kMmx) && mode_.no_fpu) {
    insn.handler = execute_invalid_opcode;
  } else if ((flags & (kSse | kX87 | kMmx | kAvx)) && mode_.fpu_away) {
    insn.handler = execute_device_not_available;
  } else if ((flags & kX87) && mode_.no_fpu) {
    insn.handler = execute_device_not_available;
  }
}

// Fills scratch_ and the block's count, length and `chains`; count is 0 if even the first instruction needs
// more bytes.
void CodeCache::decode_block(std::span<const uint8_t> bytes, Block& block) {
  block.count = 0;
  block.length = 0;
  block.chains = true;
  while (block.count < Block::kMaximumCount && block.length < bytes.size()) {
    Insn& insn = scratch_[block.count];
    insn = {};
    const DecodeError error =
        decode(bytes.subspan(block.length), static_cast<CodeMode>(mode_.code_size), block.length, insn);
    if (error == DecodeError::needs_more_bytes) return;
    if (error == DecodeError::none) apply_mode(insn);
    block.length += insn.length;
    ++block.count;
    if (error != DecodeError::none || ends_block(insn)) {
      block.chains = error == DecodeError::none && (insn.row->flags & (kBranch | kRep));
      return;
    }
  }
}

Block* CodeCache::build(Cpu& cpu, uint64_t linear, const FetchEntry& page) {
  const uint64_t offset = linear & ~kPageMask;
  const size_t available = std::min<size_t>(memory::kPageSize - offset, kSnapshotSize);
  std::array<uint8_t, kSnapshotSize> snapshot, watched;
  Block block{.physical = page.physical + offset, .state = page.state, .mode = mode_};
  do {
    // Only now it is known which bytes count: watch them, and look whether they are still the same.
    std::memcpy(snapshot.data(), page.host + offset, available);
    decode_block({snapshot.data(), available}, block);
    if (block.count == 0) return build_crossing(cpu, linear);
    block.generation = engine_.watch(*page.state, page.physical, PageState::lines(offset, block.length));
    std::memcpy(watched.data(), page.host + offset, block.length);
  } while (std::memcmp(snapshot.data(), watched.data(), block.length) != 0);

  Block* made = allocate(block);
  Block*& bucket = tables_->buckets[bucket_of(block.physical, kBuckets)];
  made->next_in_bucket = bucket;
  std::uninitialized_copy_n(scratch_.begin(), block.count, made->instructions());
  new (made->instructions() + block.count) Insn(end_of_block());
  std::copy_n(snapshot.begin(), block.length, made->code().begin());
  bucket = made;
  return made;
}

Block* CodeCache::build_crossing(Cpu& cpu, uint64_t linear) {
  const uint64_t offset = linear & ~kPageMask;
  const uint64_t first_part = memory::kPageSize - offset;
  const uint64_t second_linear =
      cpu.code_size == 8 ? linear + first_part : static_cast<uint32_t>(linear + first_part);
  const FetchEntry first = fetch_page(cpu, linear);
  const FetchEntry second = fetch_page(cpu, second_linear);
  if (!first.host || !second.host) return build_uncached(cpu, linear);

  LoneBlock& lone = lone_[lone_of(linear, kLone)];
  lone.tag = ~uint64_t{0};
  lone.kept = nullptr;
  lone.block = {.physical = first.physical + offset, .state = first.state, .mode = mode_, .lone = true};
  lone.second_state = second.state;
  auto& bytes = lone.code;
  lone.block.generation = engine_.watch(*first.state, first.physical, PageState::lines(offset, first_part));
  lone.second_generation =
      engine_.watch(*second.state, second.physical, PageState::lines(0, kMaximumInsnLength - first_part));
  std::memcpy(bytes.data(), first.host + offset, first_part);
  std::memcpy(bytes.data() + first_part, second.host, kMaximumInsnLength - first_part);
  lone.instructions = {decode_one(bytes), end_of_block()};
  lone.block.count = 1;
  lone.block.length = lone.instructions[0].length;
  lone.tag = jump_tag(cpu, linear);
  note_executed(linear);
  note_executed(second_linear);
  return &lone.block;
}

Insn CodeCache::decode_one(std::span<const uint8_t> bytes) const {
  Insn insn;
  const DecodeError error = decode(bytes, static_cast<CodeMode>(mode_.code_size), 0, insn);
  if (error == DecodeError::none) apply_mode(insn);
  return insn;
}

// Reads code byte for byte as far as it goes; the number of bytes that the code segment holds.
size_t CodeCache::copy_code(Cpu& cpu, uint64_t linear, std::span<uint8_t> out) {
  size_t count = out.size();
  if (mode_.limited) count = std::min<uint64_t>(count, uint64_t{code_limit_} - cpu.rip + 1);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t address = cpu.code_size == 8 ? linear + i : static_cast<uint32_t>(linear + i);
    // The second page is looked at only if the instruction reaches it.
    if (i != 0 && (address & ~kPageMask) == 0) {
      Insn insn;
      if (decode(out.first(i), static_cast<CodeMode>(mode_.code_size), 0, insn) !=
          DecodeError::needs_more_bytes)
        return i;
    }
    const FetchEntry page = fetch_page(cpu, address);
    const uint64_t offset = address & ~kPageMask;
    if (page.host) {
      out[i] = std::to_integer<uint8_t>(page.host[offset]);
    } else {
      std::byte byte{};
      device_read(cpu, page.physical + offset, &byte, 1);
      out[i] = std::to_integer<uint8_t>(byte);
    }
  }
  return count;
}

Block* CodeCache::build_uncached(Cpu& cpu, uint64_t linear) {
  std::array<uint8_t, kMaximumInsnLength> bytes;
  const size_t count = copy_code(cpu, linear, bytes);
  uncached_.instructions = {Insn(), end_of_block()};
  Insn& insn = uncached_.instructions[0];
  const DecodeError error = decode({bytes.data(), count}, static_cast<CodeMode>(mode_.code_size), 0, insn);
  if (error == DecodeError::needs_more_bytes) raise(cpu, kGeneralProtection, 0);  // The limit cuts it off.
  if (error == DecodeError::none) apply_mode(insn);
  uncached_.block = {.count = 1, .length = insn.length, .mode = mode_, .lone = true};
  return &uncached_.block;
}

}  // namespace alcove::cpu::soft
