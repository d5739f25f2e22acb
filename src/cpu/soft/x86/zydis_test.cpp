// Lengths and names of instructions against another decoder, on random bytes and on the host's programs.
#ifdef ALCOVE_HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif
#include <elf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/disassembler.h"

namespace alcove::cpu::soft {
namespace {

#ifdef ALCOVE_HAVE_ZYDIS

constexpr unsigned kRandomCount = 300'000;
constexpr size_t kMaximumReports = 20;

struct Other {
  bool valid = false;
  bool promised = false;  // By our processor model.
  uint8_t length = 0;
  std::string name = "(invalid)";
};

// Instruction sets that the processor model promises (cpuid.cpp), as Zydis names them.
bool is_promised(const ZydisDecodedInstruction& instruction) {
  if (instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
      instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
    return false;
  switch (instruction.meta.isa_set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I286PROTECTED:
    case ZYDIS_ISA_SET_I286REAL:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_LONGMODE:
    case ZYDIS_ISA_SET_LAHF:
    case ZYDIS_ISA_SET_CMPXCHG16B:
    case ZYDIS_ISA_SET_FXSAVE:
    case ZYDIS_ISA_SET_FXSAVE64:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_AES:
    case ZYDIS_ISA_SET_PCLMULQDQ:
    case ZYDIS_ISA_SET_POPCNT:
    case ZYDIS_ISA_SET_CLFSH:
    case ZYDIS_ISA_SET_CLFLUSHOPT:
    case ZYDIS_ISA_SET_RDRAND:
    case ZYDIS_ISA_SET_RDSEED:
    case ZYDIS_ISA_SET_RDTSCP:
    case ZYDIS_ISA_SET_RDWRFSGS:
    case ZYDIS_ISA_SET_INVPCID:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_AVX:
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVX2GATHER:
    case ZYDIS_ISA_SET_AVXAES:
    case ZYDIS_ISA_SET_FMA:
    case ZYDIS_ISA_SET_F16C:
    case ZYDIS_ISA_SET_SHA:
    case ZYDIS_ISA_SET_BMI1:
    case ZYDIS_ISA_SET_BMI2:
    case ZYDIS_ISA_SET_LZCNT:
    case ZYDIS_ISA_SET_ADOX_ADCX:
    case ZYDIS_ISA_SET_MOVBE:
    case ZYDIS_ISA_SET_XSAVE:
    case ZYDIS_ISA_SET_XSAVEOPT:
    case ZYDIS_ISA_SET_XSAVEC:
    case ZYDIS_ISA_SET_RDPID:
    case ZYDIS_ISA_SET_CLWB:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
      return true;
    default:
      return false;
  }
}

ZydisDecoder make_decoder(CodeMode mode) {
  ZydisDecoder decoder;
  switch (mode) {
    case CodeMode::bits16:
      ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
      break;
    case CodeMode::bits32:
      ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
      break;
    case CodeMode::bits64:
      ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
      break;
  }
  // What is not promised.
  for (const auto extension : {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_KNC})
    ZydisDecoderEnableMode(&decoder, extension, ZYAN_FALSE);
  return decoder;
}

Other decode_with_zydis(const ZydisDecoder& decoder, std::span<const uint8_t> bytes) {
  Other other;
  ZydisDecodedInstruction instruction;
  if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(&decoder, nullptr, bytes.data(), bytes.size(), &instruction)))
    return other;
  other.valid = true;
  other.promised = is_promised(instruction);
  other.length = instruction.length;
  other.name = ZydisMnemonicGetString(instruction.mnemonic);
  return other;
}

// Pairs of names, ours first, that are no mistakes.
bool is_accepted(const std::string& here, const std::string& there) {
  static const std::set<std::pair<std::string, std::string>> accepted = {
      {"retf", "ret"},  // One name for both there.
      {"xlatb", "xlat"},
      {"icebp", "int1"},
      {"wait", "fwait"},  // Other names.
      {"prefetch", "prefetchw"},
      {"prefetch", "prefetchwt1"},
      {"fndisi", "fdisi8087_nop"},
      {"fneni", "feni8087_nop"},
      {"fnsetpm", "fsetpm287_nop"},
      {"fstp", "fstpnce"},
      {"nop", "cldemote"},  // Hints of processors that promise them are NOPs on
                            // all others.
      {"nop", "rdsspd"},
      {"nop", "rdsspq"},
      {"xchg", "pause"},        // With REX.B, which Zydis
                                // ignores but processors do
                                // not.
      {"mov", "(invalid)"},     // To CS: #UD by the handler.
      {"rdrand", "(invalid)"},  // With F2 and F3, which say nothing without the instructions they select.
      {"rdseed", "(invalid)"},
      {"rdrand", "senduipi"},
      {"vmcall", "(invalid)"},   // With 66.
      {"(invalid)", "vpextrd"},  // With VEX.W outside 64-bit mode: #UD on processors.
      {"(invalid)", "vpinsrd"},
      {"(invalid)", "nop"},  // 0F 0D with a register: NOP on some processors, #UD on others.
      {"(invalid)", "rsm"},  // There is no system management mode.
  };
  return here == there || accepted.contains({here, there});
}

class Differ {
 public:
  explicit Differ(CodeMode mode) : mode_(mode), decoder_(make_decoder(mode)) {}

  void compare(std::span<const uint8_t> bytes) {
    Insn insn;
    const DecodeError error = decode(bytes, mode_, 0, insn);
    const Other other = decode_with_zydis(decoder_, bytes);
    const bool valid = error == DecodeError::none;
    if (!valid && !(other.valid && other.promised)) return;
    const std::string name = valid ? full_mnemonic(insn) : "(invalid)";
    if (is_accepted(name, other.name) && (!valid || !other.valid || insn.length == other.length)) return;
    // One report for each pair of names.
    if (!seen_.insert(fmt::format("{}/{}", name, other.name)).second) return;
    reports_.push_back(fmt::format("{:02x}: {} of {} bytes here, {} of {} there",
                                   fmt::join(bytes.first(std::min<size_t>(bytes.size(), 15)), " "), name,
                                   insn.length, other.name, other.length));
  }
  std::string report() const {
    return fmt::format(
        "{} differences\n{}", reports_.size(),
        fmt::join(std::span(reports_).first(std::min(reports_.size(), kMaximumReports)), "\n"));
  }
  bool differs() const { return !reports_.empty(); }

 private:
  CodeMode mode_;
  ZydisDecoder decoder_;
  std::set<std::string> seen_;
  std::vector<std::string> reports_;
};

void compare_random_bytes(CodeMode mode) {
  std::mt19937_64 random(1);
  Differ differ(mode);
  for (unsigned i = 0; i < kRandomCount; ++i) {
    std::vector<uint8_t> bytes(16);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const uint64_t kind = random() % 4;
    if (kind >= 2) bytes[0] = 0x0f;
    if (kind == 3) bytes[1] = random() & 1 ? 0x38 : 0x3a;
    constexpr uint8_t kPrefixes[] = {0x66, 0xf2, 0xf3, 0x48, 0x41};
    if (kind == 0 &&
        random() % 2 == 0) {  // VEX: all maps, most often the registers that are always possible.
      bytes[0] = random() & 1 ? 0xc4 : 0xc5;
      if (bytes[0] == 0xc4) bytes[1] = static_cast<uint8_t>((bytes[1] & 0xe0) | (1 + random() % 3));
      if (random() & 1) bytes[bytes[0] == 0xc4 ? 2 : 1] |= 0x78;
      if (mode != CodeMode::bits64) bytes[1] |= 0xc0;
    }
    if (random() & 1) bytes.insert(bytes.begin(), kPrefixes[random() % std::size(kPrefixes)]);
    differ.compare(bytes);
  }
  EXPECT_FALSE(differ.differs()) << differ.report();
}

TEST(Zydis, RandomBytes64) {
  compare_random_bytes(CodeMode::bits64);
}
TEST(Zydis, RandomBytes32) {
  compare_random_bytes(CodeMode::bits32);
}
TEST(Zydis, RandomBytes16) {
  compare_random_bytes(CodeMode::bits16);
}

std::vector<uint8_t> text_section(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
  Elf64_Ehdr header;
  if (all.size() < sizeof header) return {};
  std::memcpy(&header, all.data(), sizeof header);
  std::vector<uint8_t> text;
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    const size_t offset = header.e_shoff + i * sizeof section;
    if (offset + sizeof section > all.size()) return {};
    std::memcpy(&section, all.data() + offset, sizeof section);
    if ((section.sh_flags & SHF_EXECINSTR) && section.sh_type == SHT_PROGBITS &&
        section.sh_offset + section.sh_size <= all.size())
      text.insert(text.end(), all.begin() + section.sh_offset,
                  all.begin() + section.sh_offset + section.sh_size);
  }
  return text;
}

TEST(Zydis, ProgramsOfThisHost) {
  Differ differ(CodeMode::bits64);
  const ZydisDecoder decoder = make_decoder(CodeMode::bits64);
  size_t bytes_seen = 0;
  for (const char* path :
       {"/bin/bash", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6"}) {
    const std::vector<uint8_t> text = text_section(path);
    bytes_seen += text.size();
    for (size_t position = 0; position + 16 <= text.size();) {
      const auto bytes = std::span(text).subspan(position, 16);
      differ.compare(bytes);
      const Other other = decode_with_zydis(decoder, bytes);
      position += other.valid ? other.length : 1;
    }
  }
  if (bytes_seen == 0) GTEST_SKIP() << "none of the programs is here";
  EXPECT_FALSE(differ.differs()) << differ.report();
}

#else

TEST(Zydis, Compare) {
  GTEST_SKIP() << "built without libzydis-dev";
}

#endif

}  // namespace
}  // namespace alcove::cpu::soft
