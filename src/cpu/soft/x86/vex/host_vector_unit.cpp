#include "cpu/soft/x86/vex/host_vector_unit.h"

#include <memory>
#include <mutex>
#include <unordered_map>

#include "cpu/soft/translator/code_memory.h"

namespace alcove::cpu::soft {
namespace {

// Room for most forms that there are; a guest that tries them all makes us begin anew.
constexpr size_t kCodeSize = 1 << 20;
constexpr size_t kFormSize = 32;

uint64_t key_of(const HostVectorForm& form) {
  return uint64_t{form.immediate} | uint64_t{form.opcode} << 8 | uint64_t{form.reg} << 16 |
         uint64_t{form.map} << 24 | uint64_t{form.mandatory} << 28 | uint64_t{form.has_immediate} << 32 |
         uint64_t{form.vex} << 33 | uint64_t{form.l} << 34 | uint64_t{form.w} << 35 |
         uint64_t{form.uses_vvvv} << 36 | uint64_t{form.memory} << 37;
}

// Intel SDM vol. 2, 2.3.5. Memory is at [RDI].
size_t write_code(const HostVectorForm& form, uint8_t* out) {
  const uint8_t* const begin = out;
  constexpr uint8_t kMandatory[] = {0, 0x66, 0xf3, 0xf2};
  constexpr uint8_t kEscapes[] = {0, 0, 0x38, 0x3a};
  if (form.vex) {
    const unsigned vvvv = form.uses_vvvv ? ~unsigned{HostVectorOperands::kVvvv} & 15 : 15;
    *out++ = 0xc4;
    *out++ = static_cast<uint8_t>(0xe0 | form.map);
    *out++ = static_cast<uint8_t>(form.w << 7 | vvvv << 3 | form.l << 2 | form.mandatory);
  } else {
    if (form.mandatory) *out++ = kMandatory[form.mandatory];
    if (form.w) *out++ = 0x48;
    *out++ = 0x0f;
    if (form.map > 1) *out++ = kEscapes[form.map];
  }
  constexpr unsigned kAtRdi = 7;
  *out++ = form.opcode;
  *out++ = static_cast<uint8_t>((form.memory ? 0 : 0xc0) | form.reg << 3 |
                                (form.memory ? kAtRdi : unsigned{HostVectorOperands::kRm}));
  if (form.has_immediate) *out++ = form.immediate;
  *out++ = 0xc3;
  return static_cast<size_t>(out - begin);
}

class Forms {
 public:
  const uint8_t* find(const HostVectorForm& form) {
    const auto [it, is_new] = known_.try_emplace(key_of(form), nullptr);
    if (!is_new) return it->second;
    if (!memory_) memory_ = CodeMemory::create(kCodeSize);
    if (memory_ && memory_->room().size() < kFormSize) {
      known_.clear();
      memory_->truncate(0);
      return find(form);
    }
    if (!memory_) {
      known_.erase(it);
      return nullptr;
    }
    write_code(form, memory_->room().data());
    it->second = memory_->next();
    memory_->commit(kFormSize);
    return it->second;
  }

 private:
  std::unique_ptr<CodeMemory> memory_;
  std::unordered_map<uint64_t, const uint8_t*> known_;
};

#if defined(__x86_64__)

void execute(const uint8_t* code, HostVectorOperands& operands) {
  static_assert(offsetof(HostVectorOperands, vectors) == 0);
  constexpr uint64_t kFixedFlags = 0x202;
  operands.flags |= kFixedFlags;
  // Calls and pushes stay clear of what the compiler keeps below RSP.
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"
      "vmovdqa (%[operands]), %%ymm0\n\t"
      "vmovdqa 32(%[operands]), %%ymm1\n\t"
      "vmovdqa 64(%[operands]), %%ymm2\n\t"
      "vmovdqa 96(%[operands]), %%ymm3\n\t"
      "vmovdqa 128(%[operands]), %%ymm4\n\t"
      "lea %c[memory](%[operands]), %%rdi\n\t"
      "pushq %c[flags](%[operands])\n\t"
      "popfq\n\t"
      "mov %c[general](%[operands]), %%rax\n\t"
      "mov %c[general]+8(%[operands]), %%rcx\n\t"
      "mov %c[general]+16(%[operands]), %%rdx\n\t"
      "mov %c[general]+24(%[operands]), %%rbx\n\t"
      "call *%[code]\n\t"
      "pushfq\n\t"
      "popq %c[flags](%[operands])\n\t"
      "mov %%rax, %c[general](%[operands])\n\t"
      "mov %%rcx, %c[general]+8(%[operands])\n\t"
      "mov %%rbx, %c[general]+24(%[operands])\n\t"
      "vmovdqa %%ymm0, (%[operands])\n\t"
      "vmovdqa %%ymm1, 32(%[operands])\n\t"
      "vmovdqa %%ymm2, 64(%[operands])\n\t"
      "vmovdqa %%ymm3, 96(%[operands])\n\t"
      "vzeroupper\n\t"
      "lea 128(%%rsp), %%rsp"
      :
      : [operands] "S"(&operands), [code] "r"(code), [memory] "i"(offsetof(HostVectorOperands, memory)),
        [flags] "i"(offsetof(HostVectorOperands, flags)), [general] "i"(offsetof(HostVectorOperands, general))
      : "rax", "rcx", "rdx", "rbx", "rdi", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
        "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#else

void execute(const uint8_t*, HostVectorOperands&) {}

#endif

}  // namespace

bool run_on_host(const HostVectorForm& form, HostVectorOperands& operands) {
  // All processors share the code, which must not go away while one runs it.
  static std::mutex mutex;
  static Forms forms;
  const std::lock_guard lock(mutex);
  const uint8_t* const code = forms.find(form);
  if (code) execute(code, operands);
  return code != nullptr;
}

}  // namespace alcove::cpu::soft
