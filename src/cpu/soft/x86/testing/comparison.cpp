#include "cpu/soft/x86/testing/comparison.h"

#include <sys/mman.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

#include "cpu/soft/x86/flags.h"
#include "cpu/soft/x86/testing/layout.h"
#include "cpu/soft/x86/undefined.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kComparedPages[] = {kData, kData + kPage, kReadOnly, kStack};
constexpr unsigned kMaximumReports = 3;

const std::set<std::string, std::less<>>& host_features() {
  static const std::set<std::string, std::less<>> features = [] {
    std::set<std::string, std::less<>> all;
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("flags")) continue;
      std::istringstream words(line.substr(line.find(':') + 1));
      for (std::string word; words >> word;) all.insert(word);
      break;
    }
    if (all.contains("pni")) all.insert("sse3");
    if (all.contains("pclmulqdq")) all.insert("pclmul");
    return all;
  }();
  return features;
}

std::string describe(const std::optional<FaultKind>& fault) {
  if (!fault) return "none";
  if (fault->vector != 14) return fmt::format("#{}", fault->vector);
  return fmt::format("#PF at {:#x}, error {:#x}", fault->address, fault->error_code);
}

constexpr const char* kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                  "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

// Lines "what: before, host, ours" for what differs.
class Differences {
 public:
  void compare(std::string_view what, uint64_t before, uint64_t host, uint64_t soft) {
    if (host != soft)
      text_ += fmt::format("  {}: {:#x} before, {:#x} on the host, {:#x} here\n", what, before, host, soft);
  }
  void add(std::string line) { text_ += "  " + line + "\n"; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void compare_states(const CpuState& before, const CpuState& host, const CpuState& soft,
                    uint32_t undefined_flags, bool x87, Differences& differences) {
  for (unsigned i = 0; i < 16; ++i) differences.compare(kNames[i], before.gpr[i], host.gpr[i], soft.gpr[i]);
  differences.compare("rip", before.rip, host.rip, soft.rip);
  const uint32_t flags = (kArithmeticFlags | kDf | kIf | kIopl | kId) & ~undefined_flags;
  differences.compare("flags", before.flags & flags, host.flags & flags, soft.flags & flags);
  const auto compare_fx = [&]<class T>(std::string_view what, size_t offset, T mask) {
    differences.compare(what, before.fx.get<T>(offset) & mask, host.fx.get<T>(offset) & mask,
                        soft.fx.get<T>(offset) & mask);
  };
  compare_fx.template operator()<uint32_t>("mxcsr", FxArea::kMxcsr, 0xffff);
  for (unsigned i = 0; i < 16; ++i) {
    compare_fx.template operator()<uint64_t>(fmt::format("xmm{} low", i), FxArea::xmm(i), ~uint64_t{0});
    compare_fx.template operator()<uint64_t>(fmt::format("xmm{} high", i), FxArea::xmm(i) + 8, ~uint64_t{0});
    for (unsigned half = 0; half < 2; ++half)
      differences.compare(fmt::format("ymm{} word {}", i, half + 2), before.upper[i][half],
                          host.upper[i][half], soft.upper[i][half]);
  }
  if (!x87) return;
  compare_fx.template operator()<uint16_t>("x87 control", FxArea::kControl, 0x1f3f);
  compare_fx.template operator()<uint16_t>("x87 status", FxArea::kStatus, 0xffff);
  compare_fx.template operator()<uint8_t>("x87 tag", FxArea::kTag, 0xff);
  for (unsigned i = 0; i < 8; ++i) {
    compare_fx.template operator()<uint64_t>(fmt::format("st{} significand", i), FxArea::st(i), ~uint64_t{0});
    compare_fx.template operator()<uint16_t>(fmt::format("st{} exponent", i), FxArea::st(i) + 8, 0xffff);
  }
}

}  // namespace

std::unique_ptr<Comparison> Comparison::create(uint64_t seed, const char*& reason, CodeMode mode,
                                               bool translated) {
  std::unique_ptr<Comparison> comparison(new Comparison(seed, mode));
  // First ours: the host's signal handlers pass on to the translator's. It must not take the host's addresses
  // for its view of the kernel's pages (mmu/upper_view.h).
  void* const kept_free = mmap(reinterpret_cast<void*>(kCode), kPage, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  comparison->soft_ = std::make_unique<SoftCpu>(translated);
  if (kept_free != MAP_FAILED) munmap(kept_free, kPage);
  if (translated && !comparison->soft_->is_translated()) {
    reason = "this host can't run translated code";
    return nullptr;
  }
  comparison->host_ = HostCpu::create(static_cast<unsigned>(mode), reason);
  if (!comparison->host_) return nullptr;
  return comparison;
}

bool Comparison::is_comparable(const CompiledRow& row) const {
  const uint32_t other_mode = mode_ == CodeMode::bits64 ? kNo64 : kOnly64;
  if (row.row->flags & (kNoTest | kPrivileged | other_mode)) return false;
  return !row.row->feature || host_features().contains(std::string_view(row.row->feature));
}

std::optional<std::string> Comparison::run(const CompiledRow& row, unsigned count) {
  std::string reports;
  unsigned differing = 0;
  for (unsigned i = 0; i < count && differing < kMaximumReports; ++i) {
    const std::optional<Case> drawn = generator_.generate(row);
    if (!drawn) continue;
    if (auto report = run(*drawn)) {
      reports += *report;
      ++differing;
    }
  }
  return reports.empty() ? std::nullopt : std::optional(reports);
}

std::optional<std::string> Comparison::run(const Case& tried) {
  const Insn& insn = tried.insn;
  // Where the operand's bytes are mapped, both memories get them.
  for (size_t i = 0; i < tried.bytes.size(); ++i) {
    const uint64_t address = tried.address + i;
    const bool mapped = std::ranges::any_of(
        kComparedPages, [address](uint64_t page) { return address >= page && address < page + kPage; });
    if (mapped) *host_->memory(address) = *soft_->memory(address) = std::byte{tried.bytes[i]};
  }
  host_->set_code(tried.code);
  soft_->set_code(tried.code);
  const Result host = host_->run(tried.before);
  if (host.fault && host.fault->vector == kGeneralProtection && !host_->can_begin(tried.before))
    return std::nullopt;
  const Result soft = soft_->run(tried.before);
  ++compared_;
  faulted_ += host.fault.has_value();

  // MXCSR_MASK in the image of FXSAVE: we don't have AMD's bit 17 (misaligned SSE operands).
  if (std::string_view(insn.row->mnemonic).starts_with("fxsave") && !host.fault) {
    constexpr uint64_t kMaskOffset = FxArea::kMxcsrMask + 2;
    *host_->memory(tried.address + kMaskOffset) &= std::byte{0xfd};
  }

  Undefined undefined = undefined_results(insn, tried.before.gpr);
  // Translated code does not keep flags alive that nobody would read if the instruction succeeded.
  if (host.fault && soft_->is_translated()) undefined.flags |= insn.row->effects.written;
  Differences differences;
  if (host.fault != soft.fault)
    differences.add(
        fmt::format("fault: {} on the host, {} here", describe(host.fault), describe(soft.fault)));
  if (!undefined.destination)
    compare_states(tried.before, host.state, soft.state, undefined.flags, insn.row->flags & (kX87 | kMmx),
                   differences);
  for (const uint64_t page : kComparedPages) {
    if (std::memcmp(host_->memory(page), soft_->memory(page), kPage) == 0) continue;
    for (uint64_t address = page; address < page + kPage && !undefined.destination; ++address) {
      const auto on_host = std::to_integer<unsigned>(*host_->memory(address));
      const auto here = std::to_integer<unsigned>(*soft_->memory(address));
      if (on_host != here)
        differences.add(fmt::format("memory {:#x}: {:#x} on the host, {:#x} here", address, on_host, here));
    }
    std::memcpy(soft_->memory(page), host_->memory(page), kPage);
  }
  if (differences.text().empty()) return std::nullopt;
  return fmt::format("{} {} ({:02x}), operand at {:#x} = {:02x}\n{}", mnemonic(insn), insn.row->operands,
                     fmt::join(tried.code, " "), tried.address,
                     fmt::join(std::span(tried.bytes).first(16), " "), differences.text());
}

unsigned comparison_count(unsigned standard) {
  const char* text = std::getenv("ALCOVE_COMPARE_COUNT");
  const unsigned long count = text ? std::strtoul(text, nullptr, 10) : 0;
  return count != 0 ? static_cast<unsigned>(count) : standard;
}

}  // namespace alcove::cpu::soft::testing
