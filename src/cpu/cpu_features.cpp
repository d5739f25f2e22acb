#include "cpu/cpu_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace alcove::cpu {
namespace {

using spec::x86::CpuidWord;
using spec::x86::Feature;
using spec::x86::kFeatures;

uint32_t& word_of(CpuidWords& words, CpuidWord word) {
  switch (word) {
    case CpuidWord::eax:
      return words.eax;
    case CpuidWord::ebx:
      return words.ebx;
    case CpuidWord::ecx:
      return words.ecx;
    default:
      return words.edx;
  }
}

// Leaves of which all bits are features. Leaf 7's first subleaf has more of them, none of which is listed.
bool has_features_only(uint32_t leaf, uint32_t subleaf, CpuidWord word) {
  switch (leaf) {
    case 1:
      return word == CpuidWord::ecx || word == CpuidWord::edx;
    case 7:
      return subleaf != 0 || word != CpuidWord::eax;
    case 0xd:
      return subleaf == 1 && word == CpuidWord::eax;
    case 0x80000001:
      return word == CpuidWord::ecx || word == CpuidWord::edx;
    case 0x80000007:
      return word == CpuidWord::edx;
    case 0x80000008:
      return word == CpuidWord::ebx;
    default:
      return false;
  }
}

constexpr uint32_t kXcr0Avx = 1u << 2, kXcr0Avx512 = 7u << 5, kXcr0Pku = 1u << 9, kXcr0Legacy = 3;

bool has(const config::CpuModel::Features& set, std::string_view name) {
  for (size_t i = 0; i < std::size(kFeatures); ++i)
    if (kFeatures[i].name == name) return set.test(i);
  return false;
}

}  // namespace

CpuidFilter::CpuidFilter(const config::CpuModel& model, bool emulated)
    : active_(model.restricts()), only_listed_(model.level != 0), allowed_(model.allowed(emulated)) {}

void CpuidFilter::apply(uint32_t leaf, uint32_t subleaf, CpuidWords& words) const {
  if (!active_) return;
  CpuidWords keep, listed;
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    const Feature& feature = kFeatures[i];
    if (feature.leaf != leaf || ((leaf == 7 || leaf == 0xd) && feature.subleaf != subleaf)) continue;
    word_of(listed, feature.word) |= 1u << feature.bit;
    if (allowed_.test(i)) word_of(keep, feature.word) |= 1u << feature.bit;
  }
  for (const CpuidWord word : {CpuidWord::eax, CpuidWord::ebx, CpuidWord::ecx, CpuidWord::edx}) {
    uint32_t mask = word_of(keep, word) | ~word_of(listed, word);
    if (only_listed_ && has_features_only(leaf, subleaf, word)) mask = word_of(keep, word);
    word_of(words, word) &= mask;
  }
  // What XSAVE may keep. Sizes stay those of the host: at least what is needed.
  if (leaf == 0xd && subleaf == 0) {
    uint32_t states = only_listed_ ? kXcr0Legacy : ~(kXcr0Avx | kXcr0Avx512 | kXcr0Pku);
    if (has(allowed_, "avx")) states |= kXcr0Avx;
    if (has(allowed_, "avx512f")) states |= kXcr0Avx512;
    if (has(allowed_, "pku")) states |= kXcr0Pku;
    words.eax &= states;
    if (only_listed_) words.edx = 0;
  }
}

unsigned physical_address_bits(const CpuidWords& leaf) {
  constexpr unsigned kLeast = 36, kMost = 52;
  const unsigned processor = leaf.eax & 0xFF, guest = leaf.eax >> 16 & 0xFF;
  return std::clamp(guest == 0 ? processor : std::min(processor, guest), kLeast, kMost);
}

Result<> check_cpu_model(const config::CpuModel& model,
                         const std::function<CpuidWords(uint32_t leaf, uint32_t subleaf)>& cpuid) {
  const config::CpuModel::Features required = model.required();
  std::string missing;
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    if (!required.test(i)) continue;
    const Feature& feature = kFeatures[i];
    CpuidWords words = cpuid(feature.leaf, feature.subleaf);
    if (word_of(words, feature.word) >> feature.bit & 1) continue;
    missing += missing.empty() ? feature.name : std::string(", ") + feature.name;
  }
  if (missing.empty()) return {};
  return fail(ErrorCode::not_supported, "cpu_model", fmt::format("this host can't give {}", missing),
              "choose a lower level, take features out (\"-NAME\"), or choose \"host\"");
}

}  // namespace alcove::cpu
