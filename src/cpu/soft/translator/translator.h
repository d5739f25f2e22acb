// Translates hot blocks to host code and runs them.
//
// Translated code belongs to a physical page, like the blocks that it is made from, and to one processor. It
// runs with the guest's registers in the host's (host_layout.h) and looks memory up in the FlatMap; whatever
// that does not answer, and all that is not translated, goes to the interpreter's handler for the instruction
// (run_handler) and back. Precise state therefore needs no records: each instruction's effects are complete
// before the next one's begin.
//
// Some addresses the map can't refuse (flat_map.h): the host's page fault then makes that access go to the
// handler as well.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cpu/soft/code/block.h"
#include "cpu/soft/mmu/flat_map.h"
#include "cpu/soft/translator/code_memory.h"
#include "cpu/soft/translator/debugging.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

class Engine;

// What was translated together.
struct TranslatedUnit {
  const uint8_t* begin = nullptr;
  uint32_t size = 0, stubs = 0;               // See Emitted.
  size_t first_access = 0, access_count = 0;  // In Translator::accesses_.
};

struct TranslatedBlock {
  Block* block = nullptr;
  TranslatedUnit* unit = nullptr;
  uint64_t page = 0;                  // See kAnyPage.
  const PageState* second = nullptr;  // The page that its only instruction crosses into.
  const uint8_t* far_entry = nullptr;
  const uint8_t* near_entry = nullptr;
};

class Translator {
 public:
  // Null if this host can't run translated code: then the interpreter does all.
  static std::unique_ptr<Translator> create(Engine& engine, const CpuMemory& cpu);
  ~Translator();

  // Whether translated code may run with the processor as it is.
  bool fits() const;
  // Makes Block::translation, also of others that it leads to and that have been executed so often. Null if
  // it can't be, otherwise the block, which is kept now.
  Block* translate(Block& block, uint8_t warm);
  // Runs from the block, which has a translation and is where Cpu::rip is. Leaves Cpu::rip where to go on.
  // False if something wants attention: then nothing has run.
  bool run(Block& block);
  // From now on run() delivers the faults of what it runs and goes on with the guest's handler. Only those
  // that come about otherwise take Cpu::fault_exit, with Engine::kShutdown if a fault can't be delivered.
  void deliver_faults();
  // From raise(): does not return if a handler runs for translated code.
  void end_handler();
  // A jump to Cpu::fault_exit was taken.
  void left() { in_handler_ = false; }

  // Whether the block's translation is for where the block is now, at Cpu::rip.
  bool is_here(const Block& block) const;
  // Forgets the block's and all others of the page, for the same address space.
  void drop_page(const Block& block);

  // The page's code has changed. Any thread.
  void code_changed(const PageState& page);
  // Forgets translations that are out of date. To be called before run() if attention asked for it.
  void drop_changed();

  // Blocks went out of use: forgets all translations.
  void flush();
  // Gives memory back that only saves time.
  void release();
  // Linear addresses of code may mean other pages now.
  void forget_jumps() { map_->clear_jumps(); }
  void forget_jumps(uint64_t page) { map_->clear_jumps(page); }
  // Of the present address space; null if it has none.
  Window* window() { return map_->window(); }
  UpperView* upper_view() { return map_->upper_view(); }
  unsigned window_number() { return map_->windows() ? map_->windows()->number() : 0; }
  // For tests: see Windows::open_after().
  void open_windows_after(uint64_t ticks) {
    if (Windows* const windows = map_->windows()) windows->open_after(ticks);
  }

  // The unit's own code, without what is out of its way.
  std::string listing(const TranslatedUnit& unit);

  // Whether an access to this address was refused as a ReturnStack is full; it can be repeated with this RSP.
  bool make_room(const uint8_t* access, uint64_t address, uint64_t& rsp) const;
  // Where to go on after the host refused an access at this place; null if it is none of ours.
  const uint8_t* instead_of(const uint8_t* access);

 private:
  Translator(Engine& engine, const CpuMemory& memory, std::unique_ptr<FlatMap> map,
             std::unique_ptr<CodeMemory> code);
  static const uint8_t* run_handler(Cpu* cpu, const HandlerSite* site);
  const uint8_t* execute(const HandlerSite& site);
  static const uint8_t* run_delivery(Cpu* cpu);
  const uint8_t* deliver();
  // To Cpu::rip; null if that is not for translated code.
  const uint8_t* go_on();
  // Whether nothing but the next instruction is to be done.
  bool calm() const;
  // Executes this instruction alone, by the interpreter.
  void call_handler(const Insn& insn);
  // Lets the interpreter make the indirect branch.
  void branch(const BranchSite& site);
  void link(Block& target);
  FlatMap::Target target_at_rip(const Block& block) const;
  void add_jump(const Block& to);
  void note_in_window(const Block& target);
  void link_far(const LinkSite& site, const Block& target);
  Block* translate_crossing();
  void emit(std::span<Block* const> blocks);
  static bool are_together(const Block& one, const Block& other);
  // Where code of the block's page is to be translated for.
  uint64_t place_for(const Block& block);
  void drop(TranslatedBlock& translation);
  void enter_mode(BlockMode mode);
  // The code to go on with at Cpu::rip, which is the block's, once the registers are ready.
  const uint8_t* way_in(const Block& block);
  // Forgets all translations of blocks that stay in use.
  void forget_all();
  // Makes the host's registers fit for the guest's code.
  void prepare();
  void choose_returns();
  // Translated code was left.
  void keep_returns();
  void prepare_calls();
  // Translated code may have changed the privilege level.
  void see_level();
  // For the time that code of CPL 3 ran until now.
  void account();
  // Whether the present address space can have a window. Its first table is watched from now on.
  bool can_have_window();
  // The guest has changed a page, or may have changed any (null): whether windows and the view can stay.
  void look_at_tables(const PageState* page);
  // Those that the view's claims are from.
  void watch_view_tables();
  // After the host refused an access in a window: false if the address space has none any more.
  bool fill_window(uint64_t operand, size_t size, uint64_t stack);
  // The same of code of CPL 0, by the map and the UpperView. False if translations were forgotten for that.
  bool fill_view(const HandlerSite& site, uint64_t operand, uint64_t stack);
  // Translates anew what reads there, without the view.
  void look_up(const HandlerSite& site);
  void close_view();
  void map_in_window(uint64_t address);

  Engine& engine_;
  std::unique_ptr<FlatMap> map_;
  std::unique_ptr<CodeMemory> code_;
  CommonCode common_;
  std::optional<BlockEmitter> emitter_;
  size_t common_size_ = 0;
  std::deque<TranslatedUnit> units_;  // In the order of their code.
  std::deque<TranslatedBlock> translations_;
  // Instructions that read what UpperView can't have, by their physical addresses.
  std::unordered_set<uint64_t> not_by_view_;
  std::vector<Emitted::Access> accesses_;  // Of all units in turn.
  std::unordered_map<const PageState*, std::vector<TranslatedBlock*>> pages_;
  // How often a page was found elsewhere in an address space with a window, by the window's number, or by the
  // kernel's code, of which that is 0.
  std::unordered_map<const PageState*, std::array<uint8_t, Windows::kMaximum + 1>> moves_;
  // Of what is being translated.
  std::vector<Block*> members_;
  // How translated code was left last: by a link or a jump that has not led there yet.
  const LinkSite* open_link_ = nullptr;
  bool far_miss_ = false;
  uint64_t open_target_ = 0;
  bool left_by_handler_ = false;
  const uint8_t* fault_delivery_ = nullptr;
  bool delivers_faults_ = false;
  bool in_handler_ = false;  // That was called by translated code, and whose faults run() delivers.
  uint64_t user_since_ = 0;  // The host's TSC when code of CPL 3 began to run; 0: none runs.
  bool in_window_ = false;   // The code that runs uses the address space's window.
  bool refused_ = false;     // The host has refused an access, and the handler is to make it.
  // That the jump caches are for: the lower half's, the upper's, each window's.
  std::array<BlockMode, 2 + Windows::kMaximum> jump_modes_;
  // As TranslatedState's: of supervisor and of user code.
  std::array<ReturnStack*, 2> returns_{};
  // What TranslatedState::fast_calls depends on.
  struct CallInputs {
    uint64_t cr0 = 0, cr4 = 0, xcr0 = 0, efer = 0, star = 0, lstar = 0, sfmask = 0;
    uint64_t base = 0;
    const Window* window = nullptr;
    bool supervisor_pages = false;
    std::array<BlockMode, 2 + Windows::kMaximum> modes;
    bool operator==(const CallInputs&) const = default;
  };
  CallInputs call_inputs_;
  std::array<Insn, 2> alone_;  // The instruction that a handler executes, and an end behind it.

  std::unique_ptr<TranslatorLog> log_;  // Null but for developers.

  std::mutex mutex_;  // Guards changed_.
  std::vector<const PageState*> changed_;
  bool all_changed_ = false;  // Too many to list.
};

}  // namespace alcove::cpu::soft
