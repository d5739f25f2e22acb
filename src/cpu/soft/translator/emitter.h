// Translates a unit of blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "cpu/soft/code/block.h"
#include "cpu/soft/translator/assembler.h"
#include "cpu/soft/translator/host_layout.h"
#include "cpu/soft/translator/plan.h"

namespace alcove::cpu::soft {

// Lies in code memory, aligned; the routines at CommonCode::run_handler get its address in RCX.
struct HandlerSite {
  const Block* block;
  uint16_t insn;       // Its index.
  OperandUse operand;  // What it accesses in memory,
  StackUse stack;      // and on the stack: the map is to know these pages afterwards.
  int32_t resume;      // Distance of the code of what follows; 0 if where that is depends on the instruction.
  uint64_t page;       // Where its page is; kAnyPage: where TranslatedState::page says.
};

// Likewise, where a block leads to another that is not translated yet. The jump's displacement ends at
// `patch`.
struct LinkSite {
  const Block* from;
  const uint8_t* patch;
  // Null: to another of its page. Otherwise to where that may not always be, which can be looked up here.
  const uint8_t* otherwise;
  uint64_t links;  // How often it has been made to lead elsewhere.
};

// Likewise, an indirect branch. One to an address that is not canonical faults itself, not the fetch. A call
// has not been made yet.
struct BranchSite {
  const Insn* insn;
  const Block* block;
  uint64_t page;  // As HandlerSite's.
};

// Code for a window is made for where its page is in that address space, the kernel's for where it is in the
// upper half, other code for any place.
inline constexpr uint64_t kAnyPage = 1;

// Routines that all translations use (common_code.cpp).
struct CommonCode {
  const uint8_t* enter = nullptr;        // void(): to TranslatedState::result with the guest's registers.
  const uint8_t* run_handler = nullptr;  // RCX: HandlerSite.
  const uint8_t* leave = nullptr;        // RBP: where the guest goes on; RCX: see kNoLink.
  // RBP: an address. RCX is then 0 if that many bytes (by log2, less one) from there cross into another page.
  std::array<const uint8_t*, 5> check_page{};
  // By log2 of the element's size; the host's addresses of the first elements are in RBP (target) and
  // TranslatedState::saved (source). RCX is then 0 unless nothing was done: DF is set, or the elements are
  // not all within a page.
  std::array<const uint8_t*, 4> repeat_movs{}, repeat_stos{};
  // By whether the code is of CPL 3; RBP: a linear address that the jump cache does not know. RCX is then 0
  // if it knows it now.
  std::array<const uint8_t*, 2> find_place{};
  // Likewise: goes there, or leaves; with an indirect branch's value for leave in RCX, or by itself.
  std::array<const uint8_t*, 2> indirect_miss{}, far_miss{};
  // By whether the code is of CPL 3. RBP: where a RET leads that its place on the ReturnStack is not for;
  // what lies at the bottom of the stack.
  std::array<const uint8_t*, 2> return_elsewhere{}, return_from_empty{};
};

// What leave passes on in RCX: a LinkSite or kNoLink; kFarMiss, plus the address of the BranchSite of an
// indirect branch.
inline constexpr uint64_t kNoLink = 0, kFarMiss = 1;

struct Emitted {
  size_t size = 0;
  struct Entry {
    size_t near = 0;  // For jumps from blocks of the same page.
    size_t far = 0;   // With the linear address in RBP.
  };
  std::vector<Entry> entries;  // One for each block.
  size_t stubs = 0;            // Where what is out of the way begins,
  size_t data = 0;             // and where the sites that the code refers to do.
  // Where a memory access is made, and where to go on if the host refuses it. By the first.
  struct Access {
    uint32_t at;
    uint32_t instead;
  };
  std::vector<Access> accesses;
};

class BlockEmitter {
 public:
  explicit BlockEmitter(const CommonCode& common) : common_(common) {}

  // Code of CPL 0 reads by UpperView from now on, but for the instructions at these physical addresses; null:
  // it looks all memory up.
  void read_upper_by_view(const std::unordered_set<uint64_t>* but, bool by_pdep) {
    not_by_view_ = but;
    view_by_pdep_ = by_pdep;
  }

  // Of blocks of one page and mode. They are entered by any of them. What is returned is right until the next
  // call.
  const Emitted& emit(const Assembler& assembler, std::span<Block* const> blocks, uint64_t page = kAnyPage);

  // An upper bound of what so many blocks of so many instructions take, if each of them ends a loop.
  static size_t bound(size_t blocks, size_t instructions) {
    return 1024 * blocks + 640 * (instructions + blocks * kSmallLoop);
  }

 private:
  static constexpr size_t kSmallLoop = 24;  // In instructions.

  // emit_block.cpp
  void instructions(size_t count);
  void instruction(const Insn& insn);
  void by_handler(const Insn& insn);
  void begin_part();
  // An entry of a part that others precede.
  Emitted::Entry make_entry(size_t part);
  // Where the code ends.
  size_t finish_stubs();
  bool flags_live() const { return part().flags_live[current_]; }

  // emit_flags.cpp
  void find_live_flags();
  bool usable(const Plan& plan, const Insn& insn) const;

  // emit_memory.cpp
  // Base, index and displacement of the memory operand, in RBP and RCX where they have no register.
  HostMemory effective_address(const Insn& insn);
  void load_address(HostRegister to, const HostMemory& operand, bool wide);
  // Brings the address of the memory operand into a register, RBP if any work is needed.
  HostRegister address(const Insn& insn);
  // Looks the address up; the operand is then [address + RCX - 1].
  enum class Unaligned { check_page, refuse };
  HostMemory look_up(HostRegister address, unsigned size, bool write,
                     Unaligned unaligned = Unaligned::check_page);
  // The memory operand of the instruction, looked up. `word_needed`: RCX is not to be part of it.
  HostMemory memory_operand(const Insn& insn, unsigned size, bool write,
                            Unaligned unaligned = Unaligned::check_page, bool word_needed = false);
  // [register + displacement] of 8 bytes. Of the scratch registers, code for windows uses RCX only.
  HostMemory frame_operand(unsigned guest, int32_t displacement, bool write);
  // To be called right before the access.
  void note_access();
  HostRegister host_or_load(unsigned guest, HostRegister scratch);
  void refuse_if(uint8_t condition);

  // emit_window.cpp: code for an address space with a window (mmu/window.h), and what code of CPL 0 reads
  // from an UpperView. What RBP and RCX have of guest registers' values is used again while it is right.
  struct Reach {
    uint8_t guest = kNoRegister;
    int32_t moved = 0;  // By how much the register has changed since.
  };
  bool in_window() const { return parts_[0].block->mode.window; }
  // Whether what code of CPL 0 reads may be in an UpperView.
  bool has_view() const { return not_by_view_ && parts_[0].block->mode.privileged; }
  // Whether the current instruction makes such an access by the host's MMU.
  bool by_host_mmu(bool write) const;
  HostMemory shown(HostRegister scratch, int32_t displacement) const;
  void bring_into_window(HostRegister scratch, HostRegister address, bool keep_flags);
  HostMemory window_operand(const Insn& insn, bool word_needed);
  enum class Scratch { either, address, word };
  HostMemory window_at(unsigned guest, int32_t displacement, Scratch scratch);
  // The scratch register gets another value.
  void clobber(HostRegister scratch) { reach_[scratch == kWord] = {}; }
  void clobber_both() { reach_ = {}; }
  void guest_moved(unsigned guest, int64_t by);
  void guest_written(unsigned guest);
  // After an instruction.
  void update_reach(const Insn& insn, const Plan& plan);
  void restore_reach(const std::array<Reach, 2>& reach);
  void load_into_window(HostRegister scratch, unsigned guest, int32_t moved);

  // emit_plain.cpp
  void plain(const Insn& insn, const Plan& plan);
  void lea(const Insn& insn);
  void divide(const Insn& insn);
  HostOpcode host_opcode(const Insn& insn, const Plan& plan) const;
  void immediate(const Insn& insn, const Plan& plan);

  // emit_vector.cpp
  void vex(const Insn& insn, const Plan& plan);
  void mark_upper_halves(bool in_use);

  // emit_stack.cpp
  void push_register(const Insn& insn);
  void push_register_operand(unsigned guest);
  void push_immediate(const Insn& insn);
  void push_memory(const Insn& insn);
  void push_saved();
  void pop_register(const Insn& insn);
  void leave_frame();
  void push_return_address(const Insn& insn);

  // emit_string.cpp
  void repeat_string(const Insn& insn, bool moves);
  void string_address(HostRegister address, bool write);

  // emit_system.cpp
  void system(const Insn& insn, Way way);
  void clear_system_flag(const HostMemory& kept, uint32_t flag);
  void set_interrupt_flag(const Insn& insn);
  void push_flags(const Insn& insn);
  void read_flags();
  void swap_gs();
  void serialize(const Insn& insn);
  void read_base(const Insn& insn, unsigned segment);
  void write_base(const Insn& insn, unsigned segment);
  void require(const HostMemory& word, const HostMemory& bits);
  void read_time(bool processor_too);
  void read_control(const Insn& insn);
  void read_selector(const Insn& insn);
  void bit_in_memory(const Insn& insn);
  void write_general(unsigned guest);

  // emit_calls.cpp
  void system_call(const Insn& insn);
  void system_return(const Insn& insn);
  void change_level(size_t level, uint8_t cpl);

  // emit_branch.cpp
  void call_relative(const Insn& insn);
  void call_indirect(const Insn& insn);
  void jump_indirect(const Insn& insn);
  void jump_if_counted(const Insn& insn);
  void near_return(const Insn& insn);
  void return_site(const Insn& insn);
  void jump_if(const Insn& insn);
  std::vector<Assembler::Fixup> repeat_loop(size_t first, uint8_t condition);
  void indirect_target(const Insn& insn);
  void lead_to(int64_t page_offset, bool poll);
  void go_to(int64_t page_offset, bool poll);
  std::optional<size_t> part_at(int64_t page_offset) const;
  void jump_to_part(size_t target);
  void bind_to_part(Assembler::Fixup jump, size_t target);
  void poll_inside(size_t target);
  void go_far(bool poll, bool indirect = false);
  void poll_far(bool calling = false);
  void look_up_jump(bool indirect);
  void jump_to_level(bool user);
  void set_target(int64_t page_offset);
  bool is_bound() const { return page_ != kAnyPage; }
  bool knows_returns() const { return is_bound() && in_window(); }
  bool links_to(int64_t page_offset) const;
  // The linear address of what is there, counted from the page's beginning.
  void load_linear(HostRegister to, int64_t page_offset);
  void fall_through();

  // A block of the unit.
  struct Part {
    Block* block;
    std::span<const uint8_t> code;
    std::array<bool, Block::kMaximumCount + 1> flags_live{};  // Before each instruction, and at the end.
    std::array<Reach, 2> reach{};                             // At the beginning.
    static constexpr size_t kNowhere = ~size_t{0};
    size_t begin = kNowhere;               // Where its code is, with registers swapped.
    bool jumped_to = false;                // By others of the unit.
    bool in_loop = false;                  // That is within the unit, with nothing that leaves it.
    std::optional<size_t> next{}, jump{};  // Parts that it leads to.
    // Flags that are live at its end; at its beginning `read` are, and of those the ones in `kept`.
    uint16_t live_end = 0, read = 0, kept = 0;
    uint16_t live_begin() const { return static_cast<uint16_t>(read | (live_end & kept)); }

    const Insn& insn(size_t index) const { return block->instructions()[index]; }
    const Insn& last() const { return insn(block->count - 1u); }
    int64_t page_offset(int64_t offset) const {
      return static_cast<int64_t>(block->physical & 0xfff) + offset;
    }
  };
  const Part& part() const { return parts_[part_]; }
  const Block& block() const { return *part().block; }
  const Insn& insn_at(size_t index) const { return part().insn(index); }
  std::span<const uint8_t> code_of(const Insn& insn) const {
    return part().code.subspan(insn.offset, insn.length);
  }
  // Offsets from the page's beginning.
  int64_t page_offset(int64_t block_offset) const { return part().page_offset(block_offset); }
  HostRegister host(unsigned guest) const { return hosts_[guest]; }

  // emit_swaps.cpp: inside a unit that makes much use of registers without a host register, they take those
  // of others that it uses less.
  void find_loops();
  void choose_swaps();
  void swap_in();
  void swap_out();

  Assembler a_{{}, nullptr};
  const CommonCode& common_;
  const std::unordered_set<uint64_t>* not_by_view_ = nullptr;
  bool view_by_pdep_ = false;
  uint64_t page_ = kAnyPage;
  // What follows is of one unit; the vectors keep their memory for the next.
  void begin(const Assembler& assembler, std::span<Block* const> blocks, uint64_t page);
  std::vector<Part> parts_;
  size_t part_ = 0;
  size_t current_ = 0;  // The instruction in the part.
  std::array<HostRegister, 16> hosts_ = kHostOf;
  struct Swap {
    uint8_t in;  // Or kWindowMask.
    uint8_t out;
  };
  static constexpr uint8_t kWindowMask = 255;
  std::vector<Swap> swaps_;
  HostRegister window_mask_ = kNoHostRegister;  // Has Window::kMask.
  bool repeats_ = false;                        // In a loop that is emitted several times.
  std::array<Reach, 2> reach_{};                // Of RBP and RCX.
  struct ForwardJump {                          // To a part that has no code yet.
    Assembler::Fixup from;
    size_t part;
  };
  std::vector<ForwardJump> forward_;

  // Things that are out of the way, made after the block's own code.
  struct HandlerStub {
    const Block* block;
    size_t insn;
    size_t first;  // Of the jumps to there, in refusals_; those of the next stub follow.
    size_t begin = 0;
    size_t resume = 0;
    std::array<Reach, 2> reach{};  // There.
  };
  struct UnalignedStub {
    Assembler::Fixup from;
    HostRegister address;
    uint8_t size;
    size_t back;
    size_t handler;
  };
  struct LinkStub {
    Assembler::Fixup from;
    int64_t page_offset;
  };
  struct ExitStub {  // Not only a link.
    Assembler::Fixup from;
    int64_t page_offset;
    bool poll;
  };
  struct Branch {
    Assembler::Fixup lea;
    const Block* block;
    const Insn* insn;
  };
  struct PollStub {
    Assembler::Fixup from;
    int64_t page_offset;
    bool target_known;  // In RBP already.
    bool swapped;
    bool calling = false;  // The guest's return address is on the ReturnStack, the host's not yet.
    // Of an indirect jump, whose target may not be canonical.
    const Block* block = nullptr;
    const Insn* insn = nullptr;
  };
  // What a stub refers to.
  struct Site {
    Assembler::Fixup lea;
    const HandlerStub* handler;  // Null: a link's.
    const uint8_t* patch;
    size_t resume;
    const uint8_t* otherwise;
  };
  void enter_page(const Part& part);
  void poll_attention(PollStub stub);
  // The present instruction's.
  void handler_stub();
  // Where it jumps when it is left to its handler.
  void refuse(Assembler::Fixup jump);
  std::vector<HandlerStub> handlers_;
  std::vector<Assembler::Fixup> refusals_;
  std::vector<UnalignedStub> unaligned_;
  std::vector<LinkStub> links_;
  std::vector<ExitStub> exits_;
  std::vector<PollStub> polls_;
  std::vector<Branch> branches_;
  std::vector<Emitted::Access> accesses_;  // `instead` is the index of the stub in handlers_.
  std::vector<Site> sites_;
  bool current_has_stub_ = false;
  bool upper_marked_ = false;  // FpuState::upper_in_use is known to be set.
  bool handled_ = false;       // The current instruction is left to its handler.
  Emitted result_;
};

}  // namespace alcove::cpu::soft
