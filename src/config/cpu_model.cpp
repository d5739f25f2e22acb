#include "config/cpu_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/nearest.h"

namespace alcove::config {
namespace {

using spec::x86::Feature;
using spec::x86::FeatureKind;
using spec::x86::kFeatures;

constexpr std::string_view kModels[] = {"host", "x86-64-v1", "x86-64-v2", "x86-64-v3"};

std::optional<size_t> find(std::string_view name) {
  for (size_t i = 0; i < std::size(kFeatures); ++i)
    if (name == kFeatures[i].name || (kFeatures[i].alias && name == kFeatures[i].alias)) return i;
  return std::nullopt;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view near = nearest(word, candidates);
  return near.empty() ? std::string() : fmt::format(" (did you mean \"{}\"?)", near);
}

std::unexpected<Error> wrong(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "cpu_model", std::move(what),
              std::move(hint));
}

std::unexpected<Error> unknown_feature(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Feature& feature : kFeatures) names.push_back(feature.name);
  return wrong(fmt::format("there is no feature \"{}\"{}", name, suggestion(name, names)),
               "use the names of /proc/cpuinfo, as in \"x86-64-v2,+aes\"");
}

void add(CpuModel::Features& set, size_t index) {
  set.set(index);
  if (kFeatures[index].needs) add(set, *find(kFeatures[index].needs));
}

void add_dependents(CpuModel::Features& set, size_t index) {
  set.set(index);
  for (size_t i = 0; i < std::size(kFeatures); ++i)
    if (kFeatures[i].needs && find(kFeatures[i].needs) == index && !set.test(i)) add_dependents(set, i);
}

}  // namespace

CpuModel::Features CpuModel::required() const {
  Features set = added;
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    const Feature& feature = kFeatures[i];
    if (feature.level != 0 && feature.level <= level) set.set(i);
    if (std::string_view(feature.name) == "osxsave") set.reset(i);  // The operating system's own doing.
  }
  return set & ~removed;
}

CpuModel::Features CpuModel::allowed(bool emulated) const {
  Features set = added;
  for (size_t i = 0; i < std::size(kFeatures); ++i) {
    const Feature& feature = kFeatures[i];
    const bool of_level = feature.level != 0 && feature.level <= level;
    const bool of_any = feature.kind == FeatureKind::required || feature.kind == FeatureKind::common ||
                        (feature.kind == FeatureKind::system && emulated);
    if (level == 0 || of_level || of_any) set.set(i);
  }
  // What needs something that is not there is of no use.
  for (size_t i = 0; i < std::size(kFeatures); ++i)
    for (const char* needs = kFeatures[i].needs; needs; needs = kFeatures[*find(needs)].needs)
      if (!set.test(*find(needs))) set.reset(i);
  return set & ~removed;
}

Result<CpuModel> parse_cpu_model(std::string_view text) {
  CpuModel model;
  for (size_t at = 0, part = 0;; ++part) {
    const size_t comma = text.find(',', at);
    const std::string_view word = text.substr(at, comma - at);
    if (part == 0) {
      const auto* const found = std::ranges::find(kModels, word);
      if (found == std::end(kModels))
        return wrong(fmt::format("there is no processor model \"{}\"{}", word, suggestion(word, kModels)),
                     "use \"host\", \"x86-64-v1\", \"x86-64-v2\" or \"x86-64-v3\"");
      model.level = static_cast<unsigned>(found - std::begin(kModels));
    } else {
      if (word.size() < 2 || (word[0] != '+' && word[0] != '-'))
        return wrong(fmt::format("\"{}\" neither adds nor removes a feature", word),
                     "write +FEATURE or -FEATURE, as in \"x86-64-v2,+aes\"");
      const auto index = find(word.substr(1));
      if (!index) return unknown_feature(word.substr(1));
      if (word[0] == '+') {
        add(model.added, *index);
        model.removed &= ~model.added;
      } else {
        if (kFeatures[*index].kind == FeatureKind::required)
          return wrong(fmt::format("a processor for x86-64 can't be without \"{}\"", word.substr(1)),
                       "leave it in");
        add_dependents(model.removed, *index);
        model.added &= ~model.removed;
      }
    }
    if (comma == text.npos) return model;
    at = comma + 1;
  }
}

}  // namespace alcove::config
