#include "cpu/soft/translator/translator.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu/soft/engine.h"
#include "cpu/soft/mmu/access.h"
#include "cpu/soft/mmu/table_entry.h"
#include "cpu/soft/translator/common_code.h"
#include "cpu/soft/translator/fault_handler.h"
#include "cpu/soft/translator/gs_base.h"
#include "cpu/soft/translator/listing.h"
#include "cpu/soft/translator/unit.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/threading.h"

namespace alcove::cpu::soft {
namespace {

constexpr size_t kCodeSize = 34u << 20;  // With what the code cache has, at most 72 MiB a processor.
constexpr size_t kLargestAccess = 32;    // Of translated instructions, in bytes.
constexpr uint64_t kCr4Smap = 1u << 21;
constexpr uint64_t kMappingTicks = 25'000;  // Of the TSC, to map a page in a window.
// They have to know of every way that ends a function.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Each processor has as many address spaces as there is room for in the host's with 64 of them.
unsigned address_spaces(unsigned index) {
  return index < 6 ? 6 : 1;
}

bool host_fits() {
  return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("sse4.2") &&
         __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("pclmul") && can_set_gs_base();
}

// Where the word of a bit string is that holds the bit which the register tells.
uint64_t bit_string_offset(const Cpu& cpu, const Insn& insn) {
  const auto number = static_cast<int64_t>(cpu.gpr[insn.reg]);
  if (insn.operand_size == 8) return static_cast<uint64_t>(number >> 6) * 8;
  if (insn.operand_size == 4) return static_cast<uint64_t>(static_cast<int32_t>(number) >> 5) * 4;
  return static_cast<uint64_t>(static_cast<int16_t>(number) >> 4) * 2;
}

}  // namespace

std::unique_ptr<Translator> Translator::create(Engine& engine, const CpuMemory& cpu) {
  if (!host_fits()) return nullptr;
  auto map = FlatMap::create(cpu, address_spaces(engine.cpu().index));
  auto code = CodeMemory::create(kCodeSize, &engine.shared().populator);
  if (!map || !code) return nullptr;
  return std::unique_ptr<Translator>(new Translator(engine, cpu, std::move(map), std::move(code)));
}

Translator::Translator(Engine& engine, const CpuMemory& memory, std::unique_ptr<FlatMap> map,
                       std::unique_ptr<CodeMemory> code)
    : engine_(engine), map_(std::move(map)), code_(std::move(code)) {
  common_ = make_common_code(*code_, &Translator::run_handler);
  fault_delivery_ = make_fault_delivery(*code_, &Translator::run_delivery);
  common_size_ = code_->used();
  emitter_.emplace(common_);
  log_ = TranslatorLog::create(engine_.cpu().index);
  if (log_) log_->made_common_code({code_->next() - common_size_, common_size_});
  alone_[1] = end_of_block();
  Cpu& cpu = engine_.cpu();
  cpu.translated.cpu = &cpu;
  if (DebugSettings::get().windows) {
    map_->allow_windows(memory, engine_.mmu().memory());
    map_->allow_upper_view(engine_.mmu().memory(), engine_.mmu().memory().memory());
  }
  if (const UpperView* const view = map_->upper_view()) {
    cpu.translated.upper_view = view->mask();
    cpu.translated.upper_place = view->place_mask();
  }
  engine_.mmu().set_flat_map(cpu, map_.get());
  install_fault_handler();
}

Translator::~Translator() {
  engine_.mmu().set_flat_map(engine_.cpu(), nullptr);
}

bool Translator::fits() const {
  const Cpu& cpu = engine_.cpu();
  return cpu.code_size == 8 && (cpu.cpl == 0 || cpu.cpl == 3) && !(cpu.cr4 & kCr4Smap) &&
         (cpu.fpu.mxcsr & kMxcsrMasks) == kMxcsrMasks;
}

Block* Translator::translate(Block& block, uint8_t warm) {
  if (!block.state || block.mode.limited || block.mode.code_size != 8) return nullptr;
  if (block.lone) return translate_crossing();
  gather_unit(block, warm, members_);
  if (!engine_.code().has_room_to_keep(members_)) return nullptr;
  for (Block*& member : members_) member = engine_.code().keep(*member);
  emit(members_);
  return members_[0];
}

// It is found by its linear address only, which its second page may depend on.
Block* Translator::translate_crossing() {
  const std::optional<CodeCache::Crossing> crossing = engine_.code().keep_crossing(engine_.cpu());
  if (!crossing) return nullptr;
  Block* const block = crossing->block;
  emit({&block, 1});
  block->translation->second = crossing->second;
  pages_[crossing->second].push_back(block->translation);
  return block;
}

void Translator::emit(std::span<Block* const> blocks) {
  size_t instructions = 0;
  for (const Block* const block : blocks) instructions += block->count;
  if (code_->room().size() < BlockEmitter::bound(blocks.size(), instructions)) forget_all();
  const uint64_t page = place_for(*blocks[0]);
  const uint8_t* const begin = code_->next();
  // Code of the lower half reads from there.
  const bool upper = engine_.cpu().rip >> 63;
  emitter_->read_upper_by_view(upper && map_->upper_view() ? &not_by_view_ : nullptr,
                               engine_.cpu().translated.upper_place != 0);
  const Emitted& emitted = emitter_->emit(Assembler(code_->room(), begin), blocks, page);
  code_->commit((emitted.size + 15) / 16 * 16);
  TranslatedUnit& unit = units_.emplace_back(TranslatedUnit{.begin = begin,
                                                            .size = static_cast<uint32_t>(emitted.size),
                                                            .stubs = static_cast<uint32_t>(emitted.stubs),
                                                            .first_access = accesses_.size(),
                                                            .access_count = emitted.accesses.size()});
  accesses_.insert(accesses_.end(), emitted.accesses.begin(), emitted.accesses.end());
  auto& of_page = pages_[blocks[0]->state];
  for (size_t i = 0; i < blocks.size(); ++i) {
    Block& block = *blocks[i];
    TranslatedBlock& translation =
        translations_.emplace_back(TranslatedBlock{.block = &block,
                                                   .unit = &unit,
                                                   .page = page,
                                                   .far_entry = begin + emitted.entries[i].far,
                                                   .near_entry = begin + emitted.entries[i].near});
    of_page.push_back(&translation);
    block.translation = &translation;
  }
  if (log_)
    log_->translated(blocks, engine_.cpu().rip, {code_->writable(begin), emitted.size}, begin, emitted.data,
                     common_);
}

void Translator::link(Block& target) {
  const Cpu& cpu = engine_.cpu();
  const LinkSite* const site = std::exchange(open_link_, nullptr);
  const bool far = std::exchange(far_miss_, false);
  if (cpu.rip != open_target_) return;
  if (log_ && far) ++log_->counters.far_misses;
  if (far && target.mode.window) {
    note_in_window(target);
    map_->window()->jumps().add(cpu.rip, target.translation->far_entry);
  } else if (far) {
    add_jump(target);
  }
  if (site && site->otherwise) return link_far(*site, target);
  if (!site || target.lone || site->from->mode != target.mode ||
      (site->from->physical ^ target.physical) >> 12 != 0)
    return;
  const auto distance = static_cast<int32_t>(target.translation->near_entry - site->patch);
  if (log_) ++log_->counters.links;
  std::memcpy(code_->writable(site->patch) - sizeof distance, &distance, sizeof distance);
}

FlatMap::Target Translator::target_at_rip(const Block& block) const {
  return {.address = engine_.cpu().rip,
          .physical = block.physical,
          .crosses = block.lone,
          .code = block.translation->far_entry};
}

void Translator::add_jump(const Block& to) {
  const FlatMap::Target target = target_at_rip(to);
  map_->add_jump(to.mode.user, target);
  if (!to.lone && to.translation->page == kAnyPage) map_->add_place(to.mode.user, target);
}

void Translator::note_in_window(const Block& target) {
  map_->window()->note_code(mode_of(engine_.cpu()), engine_.cpu().rip, *target.state,
                            target.translation->second);
}

void Translator::link_far(const LinkSite& site, const Block& target) {
  constexpr uint64_t kMaximumLinks = 16;
  auto& links = reinterpret_cast<LinkSite*>(code_->writable(reinterpret_cast<const uint8_t*>(&site)))->links;
  uint8_t* const displacement = code_->writable(site.patch) - 4;
  const TranslatedBlock& translation = *target.translation;
  const bool direct = ++links <= kMaximumLinks && site.from->mode == target.mode &&
                      translation.page == (engine_.cpu().rip & kPageMask);
  if (direct) {
    int32_t unknown;
    std::memcpy(&unknown, displacement, sizeof unknown);
    if (in_window_)
      note_in_window(target);
    else
      map_->note_upper_code(target_at_rip(target));
    JumpCache& jumps = in_window_ ? map_->window()->jumps() : map_->upper_jumps();
    jumps.direct().add(translation.page, displacement, unknown);
    if (log_) ++log_->counters.links;
  }
  const auto distance = static_cast<int32_t>((direct ? translation.near_entry : site.otherwise) - site.patch);
  std::memcpy(displacement, &distance, sizeof distance);
}

bool Translator::is_here(const Block& block) const {
  const uint64_t page = block.translation->page;
  return page == kAnyPage || page == (engine_.cpu().rip & kPageMask);
}

// Whether they are translated for the same place, if for any.
bool Translator::are_together(const Block& one, const Block& other) {
  return one.state == other.state && one.mode.window == other.mode.window && one.mode.user == other.mode.user;
}

uint64_t Translator::place_for(const Block& block) {
  constexpr uint8_t kMaximumMoves = 4;
  const uint64_t rip = engine_.cpu().rip;
  const bool has_place = block.mode.window || (!block.mode.user && rip >> 63);
  const auto place = [&] {
    return has_place && moves_[block.state][block.mode.window] < kMaximumMoves ? rip & kPageMask : kAnyPage;
  };
  const uint64_t page = place();
  if (std::ranges::any_of(pages_[block.state], [&](const TranslatedBlock* other) {
        return other->block && are_together(block, *other->block) && other->page != page;
      })) {
    drop_page(block);
    return place();
  }
  return page;
}

void Translator::drop_page(const Block& block) {
  uint8_t& moves = moves_[block.state][block.mode.window];
  moves += moves != UINT8_MAX;
  std::erase_if(pages_[block.state], [&](TranslatedBlock* translation) {
    if (!translation->block) return true;
    if (!are_together(block, *translation->block)) return false;
    drop(*translation);
    return true;
  });
  open_link_ = nullptr;
}

void Translator::drop(TranslatedBlock& translation) {
  Block& block = *translation.block;
  std::optional<uint64_t> page;
  if (translation.page != kAnyPage) page = translation.page;
  map_->remove_jumps(block.physical & 0xfff, translation.far_entry, page);
  map_->places(block.mode.user).remove(block.physical, translation.far_entry);
  block.translation = nullptr;
  block.heat = 0;
  translation.block = nullptr;
  if (log_) ++log_->counters.dropped;
}

void Translator::prepare() {
  Cpu& cpu = engine_.cpu();
  if (!cpu.fpu.mxcsr_resident) detail::begin_operation(cpu);
  set_gs_base(in_window_ ? map_->window()->base() : map_->base());
  cpu.translated.set_flags(cpu.flags.arithmetic_bits());
  choose_returns();
  const CallInputs inputs{.cr0 = cpu.cr0,
                          .cr4 = cpu.cr4,
                          .xcr0 = cpu.xcr0,
                          .efer = cpu.efer,
                          .star = cpu.star,
                          .lstar = cpu.lstar,
                          .sfmask = cpu.sfmask,
                          .base = map_->base(),
                          .window = map_->window(),
                          .supervisor_pages = map_->supervisor_pages(),
                          .modes = jump_modes_};
  if (inputs != call_inputs_) {
    call_inputs_ = inputs;
    prepare_calls();
  }
}

void Translator::choose_returns() {
  Cpu& cpu = engine_.cpu();
  const bool user = cpu.cpl == 3;
  map_->note_code(user, cpu.rip);
  Window* const window = !user || in_window_ ? map_->window() : nullptr;
  returns_ = {&map_->upper_jumps().returns(), &(window ? window->jumps() : map_->lower_jumps()).returns()};
  for (size_t i = 0; i < 2; ++i) returns_[i]->set_bottom(common_.return_from_empty[i]);
  cpu.translated.returns = returns_[user]->top();
  cpu.translated.other_returns = returns_[!user]->top();
}

void Translator::keep_returns() {
  const Cpu& cpu = engine_.cpu();
  const bool user = cpu.cpl == 3;
  returns_[user]->set_top(cpu.translated.returns);
  returns_[!user]->set_top(cpu.translated.other_returns);
}

bool Translator::make_room(const uint8_t* access, uint64_t address, uint64_t& rsp) const {
  return code_->contains(access) && std::ranges::any_of(returns_, [&](const ReturnStack* stack) {
           return stack->make_room(address, rsp);
         });
}

void Translator::prepare_calls() {
  Cpu& cpu = engine_.cpu();
  const CodeCache& code = engine_.code();
  TranslatedState& state = cpu.translated;
  const auto level = [&](Privilege privilege, uint64_t gs_base, const std::array<Segment, 2>& segments) {
    return TranslatedState::Level{
        .gs_base = gs_base,
        .tlb = &engine_.mmu().tlb(privilege),
        .segments = std::bit_cast<std::array<uint64_t, 4>>(segments),
    };
  };
  const Window* const window = call_inputs_.window;
  state.kernel = level(Privilege::supervisor_user_pages, map_->base(), system_call_segments(cpu));
  state.user = level(Privilege::user, window ? window->base() : map_->base(), system_return_segments(cpu));
  constexpr uint64_t kSyscallEnable = 1;  // EFER.SCE
  state.fast_calls = (cpu.efer & kSyscallEnable) && is_canonical(cpu.lstar) &&
                     (cpu.sfmask & kArithmeticFlags) == kArithmeticFlags && !call_inputs_.supervisor_pages &&
                     jump_modes_[1] == code.mode_at(cpu, 0) &&
                     jump_modes_[window ? 1 + map_->windows()->number() : 0] == code.mode_at(cpu, 3);
}

void Translator::see_level() {
  Cpu& cpu = engine_.cpu();
  if (std::exchange(cpu.translated.changed_level, 0) != 0) update_mode(cpu);
}

// Code of another mode must not be found in the cache that this mode's uses.
void Translator::enter_mode(BlockMode mode) {
  in_window_ = mode.window;
  BlockMode& jump_mode = jump_modes_[in_window_ ? 1 + mode.window : !mode.user];
  if (mode != jump_mode) {
    map_->clear_jumps();
    if (!in_window_) map_->places(mode.user).clear();
    jump_mode = mode;
  }
  if (mode.user) map_->enter_user();
}

const uint8_t* Translator::way_in(const Block& block) {
  prepare();
  if (block.mode.user && user_since_ == 0) user_since_ = __rdtsc();
  Cpu& cpu = engine_.cpu();
  cpu.translated.page = cpu.rip & kPageMask;
  return block.translation->near_entry;
}

bool Translator::run(Block& block) {
  Cpu& cpu = engine_.cpu();
  TranslatedState& state = cpu.translated;
  if (!block.mode.user) account();  // A fault may have ended user code's run.
  // The world may have gone on since somebody has looked.
  if (cpu.attention.load(std::memory_order_acquire) != 0) return false;
  enter_mode(block.mode);
  link(block);
  state.result = reinterpret_cast<uint64_t>(way_in(block));
  left_by_handler_ = false;
  if (log_) ++log_->counters.entries;
  expect_faults(*this);
  reinterpret_cast<void (*)()>(reinterpret_cast<uintptr_t>(common_.enter))();
  if (!left_by_handler_) keep_returns();
  account();
  if (left_by_handler_) return true;
  see_level();
  cpu.rip = state.target;
  cpu.flags.set_arithmetic_bits(state.arithmetic_flags());
  if (cpu.rip != state.shadow) cpu.interrupt_shadow = false;
  open_target_ = state.target;
  if (state.result & kFarMiss) {
    far_miss_ = true;
    const auto* const site = reinterpret_cast<const BranchSite*>(state.result - kFarMiss);
    if (site && (!is_canonical(state.target) || plan_of(*site->insn->row).way == Way::call_indirect))
      branch(*site);
  } else if (state.result != kNoLink) {
    open_link_ = reinterpret_cast<const LinkSite*>(state.result);
  }
  return true;
}

void Translator::account() {
  if (user_since_ == 0) return;
  const uint64_t ticks = __rdtsc() - std::exchange(user_since_, 0);
  Windows* const windows = map_->windows();
  if (!windows || !windows->ran(ticks) || !windows->has_one() || !can_have_window() ||
      !map_->open_window(mode_of(engine_.cpu())))
    return;
  if (log_) ++log_->counters.windows;
  engine_.code().update_mode(engine_.cpu());
}

bool Translator::can_have_window() {
  const PhysicalMemory& memory = engine_.mmu().memory();
  const PagingMode mode = mode_of(engine_.cpu());
  const uint64_t* const table = first_table(memory, mode);
  if (!table) return true;
  if (!Window::can_show(table)) return false;
  const uint64_t physical = mode.cr3 & table_entry::kAddress;
  engine_.watch_table(physical, PageState::lines(0, memory::kPageSize / 2));
  // It may have changed before.
  return Window::can_show(table);
}

void Translator::look_at_tables(const PageState* page) {
  Windows* const windows = map_->windows();
  if (windows && windows->table_changed(page)) engine_.code().update_mode(engine_.cpu());
  if (UpperView* const view = map_->upper_view()) view->table_changed(page);
}

void Translator::watch_view_tables() {
  UpperView* const view = map_->upper_view();
  const PagingMode mode = mode_of(engine_.cpu());
  if (!view) return;
  if (view->has_changed_tables()) view->claim_used(mode);
  for (unsigned i = 0; i < 4 && view->has_unwatched_tables(); ++i) {
    for (const uint64_t table : view->take_unwatched_tables())
      engine_.watch_table(table, PageState::lines(0, memory::kPageSize));
    view->claim_used(mode);  // They may have changed before.
  }
}

void Translator::call_handler(const Insn& insn) {
  Cpu& cpu = engine_.cpu();
  alone_[0] = insn;
  cpu.insn = alone_.data();
  insn.handler(cpu, alone_[0]);
  cpu.insn = nullptr;
}

void Translator::branch(const BranchSite& site) {
  Cpu& cpu = engine_.cpu();
  const Insn& insn = *site.insn;
  if (plan_of(*insn.row).way == Way::near_return) cpu.gpr[rsp] -= 8 + insn.immediate;
  const uint64_t page = site.page == kAnyPage ? cpu.translated.page : site.page;
  cpu.gpr[kRipRegister] = page + (site.block->physical & 0xfff);
  cpu.rip = cpu.gpr[kRipRegister] + site.block->length;
  call_handler(insn);
}

const uint8_t* Translator::run_handler(Cpu* cpu, const HandlerSite* site) {
  Translator& translator = *cpu->engine->translator();
  translator.in_handler_ = translator.delivers_faults_;
  const uint8_t* const next = translator.execute(*site);
  translator.in_handler_ = false;
  translator.left_by_handler_ = next == nullptr;
  return next;
}

void Translator::deliver_faults() {
  delivers_faults_ = !kSanitized;
}

void Translator::end_handler() {
  if (!in_handler_) return;
  // Translated code has nothing of its own in registers or on the stack meanwhile.
  asm volatile("mov %0, %%rsp\n\tjmp *%1"
               :
               : "r"(engine_.cpu().translated.host_rsp), "r"(fault_delivery_)
               : "memory");
  __builtin_unreachable();
}

const uint8_t* Translator::run_delivery(Cpu* cpu) {
  Translator& translator = *cpu->engine->translator();
  const uint8_t* const next = translator.deliver();
  translator.in_handler_ = false;
  translator.left_by_handler_ = next == nullptr;
  return next;
}

const uint8_t* Translator::deliver() {
  Cpu& cpu = engine_.cpu();
  cpu.insn = nullptr;
  if (!deliver_fault(cpu)) _longjmp(cpu.fault_exit, Engine::kShutdown);
  return calm() ? go_on() : nullptr;
}

bool Translator::calm() const {
  const Cpu& cpu = engine_.cpu();
  return cpu.attention.load(std::memory_order_relaxed) == 0 && !cpu.single_step && !cpu.halted &&
         !cpu.wait_for_startup && !(cpu.interrupt_shadow && cpu.debug_shadow) && fits();
}

const uint8_t* Translator::go_on() {
  Cpu& cpu = engine_.cpu();
  if (cpu.interrupt_shadow) return nullptr;
  if (cpu.cpl == 0) account();
  const Block& next = *engine_.code().find(cpu);
  if (!next.translation || !is_here(next) || !calm()) return nullptr;
  enter_mode(next.mode);
  return way_in(next);
}

const uint8_t* Translator::execute(const HandlerSite& site) {
  Cpu& cpu = engine_.cpu();
  keep_returns();
  const Insn& insn = const_cast<Block*>(site.block)->instructions()[site.insn];
  cpu.flags.set_arithmetic_bits(cpu.translated.arithmetic_flags());
  const uint64_t page = site.page == kAnyPage ? cpu.translated.page : site.page;
  const uint64_t begin = page + (site.block->physical & 0xfff);
  cpu.gpr[kRipRegister] = begin;
  cpu.rip = begin + insn.offset + insn.length;
  see_level();
  in_window_ = site.block->mode.window;

  // The accesses' addresses, while the registers are as they were.
  uint64_t operand = 0, stack = 0;
  if (site.operand == OperandUse::source) {
    operand = cpu.gpr[rsi];
  } else if (site.operand != OperandUse::none) {
    operand = cpu.segment_base[insn.segment] + effective_offset(cpu, insn);
    if (site.operand == OperandUse::bit_string) operand += bit_string_offset(cpu, insn);
  }
  if (site.stack == StackUse::push)
    stack = cpu.gpr[rsp] - 8;
  else if (site.stack == StackUse::pop)
    stack = cpu.gpr[rsp];
  else if (site.stack == StackUse::frame)
    stack = cpu.gpr[rbp];
  else if (site.stack == StackUse::destination)
    stack = cpu.gpr[rdi];

  if (log_) log_->handled(insn);
  const bool refused = std::exchange(refused_, false);
  cpu.interrupt_shadow = false;
  call_handler(insn);
  if (in_window_) {
    if (refused && !fill_window(operand, kLargestAccess, stack)) return nullptr;
  } else if (refused && map_->upper_view() && site.block->mode.privileged) {
    if (!fill_view(site, operand, stack)) return nullptr;
    if (!site.block->translation) return calm() ? go_on() : nullptr;
  } else {
    if (operand) map_->fill(cpu, operand);
    if (stack) map_->fill(cpu, stack);
  }
  if (!calm()) return nullptr;
  if (site.resume != 0 && cpu.rip == begin + insn.offset + insn.length) {
    if (cpu.interrupt_shadow) cpu.translated.shadow = cpu.rip;
    prepare();
    return reinterpret_cast<const uint8_t*>(&site) + site.resume;
  }
  return go_on();
}

bool Translator::fill_window(uint64_t operand, size_t size, uint64_t stack) {
  if (log_) ++log_->counters.refused;
  const auto missed = [this] {
    if (map_->windows()->missed()) return true;
    engine_.code().update_mode(engine_.cpu());
    return false;
  };
  if (!missed()) return false;
  const uint64_t begin = __rdtsc();
  if (operand) {
    map_in_window(operand);
    if ((operand ^ (operand + size - 1)) >> 12) map_in_window(operand + size - 1);
  }
  if (stack) {
    map_in_window(stack);
    if ((stack ^ (stack + 7)) >> 12) map_in_window(stack + 7);
  }
  // Some hosts take several times as long to map a page as others: that counts as so many pages.
  for (uint64_t more = (__rdtsc() - begin) / kMappingTicks; more > 0; --more)
    if (!missed()) return false;
  return true;
}

bool Translator::fill_view(const HandlerSite& site, uint64_t operand, uint64_t stack) {
  if (log_) ++log_->counters.refused;
  UpperView& view = *map_->upper_view();
  const Cpu& cpu = engine_.cpu();
  const uint64_t before = view.times_shown();
  bool all = true;
  for (const uint64_t address : {operand, stack}) {
    if (address == 0) continue;
    all &= map_->fill(cpu, address);
    const uint64_t last = address + kLargestAccess - 1;
    if ((address ^ last) >> 12) map_->fill(cpu, last);
  }
  view.refused();
  if (!view.pays()) {
    close_view();
    return false;
  }
  if (!all || view.times_shown() == before) look_up(site);
  return true;
}

// All of the page's, as any of it may be linked to the block's.
void Translator::look_up(const HandlerSite& site) {
  Block& block = const_cast<Block&>(*site.block);
  not_by_view_.insert(block.physical + block.instructions()[site.insn].offset);
  const auto it = pages_.find(block.state);
  if (it == pages_.end()) return;
  for (TranslatedBlock* translation : it->second) {
    if (!translation->block) continue;
    Block& again = *translation->block;
    drop(*translation);
    again.heat = Block::kHot - 1;
  }
  pages_.erase(it);
  open_link_ = nullptr;
}

void Translator::close_view() {
  map_->close_upper_view();
  not_by_view_.clear();
  forget_all();
}

void Translator::map_in_window(uint64_t address) {
  const Cpu& cpu = engine_.cpu();
  const TlbEntry& entry = cpu.tlb->entry(address);
  const uint64_t tag = (address & kPageMask) | cpu.tlb_generation[0];
  if (address >> 47 != 0 || entry.read_tag != tag) return;
  const bool writable = entry.write_tag == tag && !(entry.physical & TlbEntry::kReadOnly);
  Window::Page page{.address = address & kPageMask,
                    .host = reinterpret_cast<const std::byte*>((address & kPageMask) + entry.addend),
                    .writable = writable,
                    .size = 4096};
  const uint64_t large = entry.physical & ~(Window::kLargeSize - 1);
  if (writable && (entry.physical & TlbEntry::kSizeBits) >= 21 &&
      engine_.mmu().memory().is_plain(large, Window::kLargeSize))
    page.size = Window::kLargeSize;
  map_->window()->show(mode_of(cpu), page);
}

const uint8_t* Translator::instead_of(const uint8_t* access) {
  if (!code_->contains(access)) return nullptr;
  // Translated code may be at another level than the one that it was entered at.
  const Cpu& cpu = engine_.cpu();
  const TranslatedState& state = cpu.translated;
  // A handler may have taken the window away; then all that is still needed is the Cpu, which is everywhere.
  const Window* const window = in_window_ ? map_->window() : nullptr;
  const uint64_t entered = window ? window->base() : map_->base();
  const uint64_t changed = (cpu.cpl == 3 ? state.user : state.kernel).gs_base;
  if (restore_gs_base(state.changed_level != 0 ? changed : entered)) return access;
  auto it = std::ranges::upper_bound(units_, access, {}, &TranslatedUnit::begin);
  if (it == units_.begin()) return nullptr;
  --it;
  const auto offset = static_cast<uint32_t>(access - it->begin);
  const auto accesses = std::span(accesses_).subspan(it->first_access, it->access_count);
  const auto found = std::ranges::lower_bound(accesses, offset, {}, &Emitted::Access::at);
  if (found == accesses.end() || found->at != offset) return nullptr;
  refused_ = true;
  return it->begin + found->instead;
}

void Translator::code_changed(const PageState& page) {
  {
    // A processor that sleeps may miss any number of changes.
    constexpr size_t kListed = 1 << 12;
    const std::lock_guard lock(mutex_);
    if (changed_.size() >= kListed) {
      all_changed_ = true;
      changed_.clear();
    }
    if (!all_changed_ && (changed_.empty() || changed_.back() != &page)) changed_.push_back(&page);
  }
  engine_.cpu().attention.fetch_or(kCodeAttention, std::memory_order_release);
}

void Translator::drop_changed() {
  std::vector<const PageState*> changed;
  bool all_changed;
  {
    const std::lock_guard lock(mutex_);
    changed.swap(changed_);
    all_changed = std::exchange(all_changed_, false);
  }
  if (all_changed) look_at_tables(nullptr);
  for (const PageState* page : changed) look_at_tables(page);
  watch_view_tables();
  if (map_->upper_view() && !map_->upper_view()->pays()) return close_view();
  if (all_changed) return forget_all();
  for (const PageState* page : changed) {
    const auto it = pages_.find(page);
    if (it == pages_.end()) continue;
    for (TranslatedBlock* translation : it->second) {
      if (!translation->block) continue;  // Its other page was first.
      drop(*translation);
    }
    pages_.erase(it);
  }
  open_link_ = nullptr;
}

void Translator::forget_all() {
  for (TranslatedBlock& translation : translations_) {
    if (!translation.block) continue;
    translation.block->translation = nullptr;
    translation.block->heat = 0;
  }
  flush();
}

std::string Translator::listing(const TranslatedUnit& unit) {
  return list_host_code(
      {.code = {code_->writable(unit.begin), unit.size}, .address = unit.begin, .listed = unit.stubs},
      common_);
}

void Translator::release() {
  code_->release();
  map_->release();
  const Cpu& cpu = engine_.cpu();
  map_->select(cpu.tlb_generation[0], mode_of(cpu));
  engine_.code().update_mode(cpu);
}

void Translator::flush() {
  if (log_) ++log_->counters.flushes;
  translations_.clear();
  units_.clear();
  accesses_.clear();
  pages_.clear();
  moves_.clear();
  open_link_ = nullptr;
  map_->clear_jumps();
  for (const bool user : {false, true}) map_->places(user).clear();
  code_->truncate(common_size_);
}

}  // namespace alcove::cpu::soft
