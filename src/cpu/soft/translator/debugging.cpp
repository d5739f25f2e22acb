#include "cpu/soft/translator/debugging.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include "cpu/soft/translator/listing.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {
namespace {

// One for all processors of the process, written line by line.
class SharedFile {
 public:
  explicit SharedFile(const std::string& name) : file_(std::fopen(name.c_str(), "w")) {
    if (!file_) fmt::print(stderr, "alcove: cannot write {}, so it stays empty\n", name);
  }
  ~SharedFile() {
    if (file_) std::fclose(file_);
  }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;
  void write(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (!file_) return;
    std::fputs(text.c_str(), file_);
    std::fflush(file_);
  }

 private:
  std::FILE* file_;
  std::mutex mutex_;
};

// Where perf looks for the names of code that no file has.
SharedFile& perf_map() {
  static SharedFile file(fmt::format("/tmp/perf-{}.map", getpid()));
  return file;
}
SharedFile& dump() {
  static SharedFile file(DebugSettings::get().dump);
  return file;
}

SharedFile& counter_file() {
  static SharedFile file(DebugSettings::get().counters);
  return file;
}

std::string_view who(const BlockMode& mode) {
  return mode.user ? "user" : "kernel";
}

}  // namespace

const DebugSettings& DebugSettings::get() {
  static const DebugSettings settings = [] {
    const auto value = [](const char* name) {
      const char* const text = std::getenv(name);
      return std::string(text ? text : "");
    };
    return DebugSettings{.translate = value("ALCOVE_NO_TRANSLATOR").empty(),
                         .windows = value("ALCOVE_NO_WINDOWS").empty(),
                         .perf_map = !value("ALCOVE_PERF_MAP").empty(),
                         .counters = value("ALCOVE_TRANSLATOR_COUNTERS"),
                         .dump = value("ALCOVE_TRANSLATOR_DUMP")};
  }();
  return settings;
}

std::unique_ptr<TranslatorLog> TranslatorLog::create(unsigned processor) {
  const DebugSettings& settings = DebugSettings::get();
  if (!settings.perf_map && settings.counters.empty() && settings.dump.empty()) return nullptr;
  return std::unique_ptr<TranslatorLog>(new TranslatorLog(processor, settings));
}

TranslatorLog::TranslatorLog(unsigned processor, const DebugSettings& settings)
    : processor_(processor),
      count_(!settings.counters.empty()),
      list_(!settings.dump.empty()),
      map_(settings.perf_map) {
  // Opened now: later this process may be one that opens nothing any more.
  if (map_) perf_map();
  if (list_) dump();
  if (count_) counter_file();
}

TranslatorLog::~TranslatorLog() {
  if (!count_) return;
  const Counters& c = counters;
  std::string text = fmt::format(
      "processor {}: {} units with {} blocks of {} instructions ({} bytes) translated to {} bytes; entered "
      "{} times, {} "
      "links "
      "made, {} jumps not known, {} translations dropped, {} flushes; "
      "{} windows opened, {} accesses refused by the host\n",
      processor_, c.units, c.blocks, c.instructions, c.guest_bytes, c.host_bytes, c.entries, c.links,
      c.far_misses, c.dropped, c.flushes, c.windows, c.refused);
  std::vector<std::pair<uint64_t, const Row*>> rows;
  for (const auto& [row, count] : handled_) rows.emplace_back(count, row);
  std::ranges::sort(rows, std::greater(), &std::pair<uint64_t, const Row*>::first);
  constexpr size_t kShown = 30;
  if (rows.size() > kShown) rows.resize(kShown);
  text += "left to the interpreter, or sent there by a memory access, most frequent first:\n";
  for (const auto& [count, row] : rows)
    text += fmt::format("  {:>12} {} {} ({})\n", count, row->mnemonic, row->operands, row->encoding);
  counter_file().write(text);
}

void TranslatorLog::made_common_code(std::span<const uint8_t> code) {
  if (map_)
    perf_map().write(fmt::format("{:x} {:x} alcove_common_code_{}\n", reinterpret_cast<uint64_t>(code.data()),
                                 code.size(), processor_));
}

void TranslatorLog::translated(std::span<Block* const> blocks, uint64_t rip, std::span<const uint8_t> code,
                               const uint8_t* address, size_t data, const CommonCode& common) {
  const Block& first = *blocks[0];
  ++counters.units;
  counters.blocks += blocks.size();
  std::string guest;
  for (Block* const block : blocks) {
    counters.instructions += block->count;
    counters.guest_bytes += block->length;
    if (list_) guest += list_guest_code(*block, rip + (block->physical - first.physical));
  }
  counters.host_bytes += code.size();
  if (map_)
    perf_map().write(fmt::format("{:x} {:x} {}_{:x}\n", reinterpret_cast<uint64_t>(address), code.size(),
                                 who(first.mode), rip));
  if (list_) {
    const std::string host =
        list_host_code({.code = code, .address = address, .listed = data, .with_addresses = true}, common);
    dump().write(fmt::format("processor {}, {} code at {:#x}, physical {:#x}:\n{}is, in {} bytes:\n{}\n",
                             processor_, who(first.mode), rip, first.physical, guest, code.size(), host));
  }
}

}  // namespace alcove::cpu::soft
