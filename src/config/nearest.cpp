#include "config/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace alcove::config {
namespace {

// Longer words are nothing a person mistyped, and comparing them takes quadratic time.
constexpr size_t kLongestWord = 64;

// Insertions, deletions and replacements from one to the other (Levenshtein), one row at a time.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > kLongestWord) return {};
  std::string_view best;
  size_t best_distance = 0;
  for (std::string_view candidate : candidates) {
    // "cpus" for "cpu_count", "sync" for "synchronization_mode": a common beginning counts as near, too.
    const size_t shared = static_cast<size_t>(std::ranges::mismatch(word, candidate).in1 - word.begin());
    const size_t steps = shared >= 3 ? std::min(distance(word, candidate), 1 + word.size() - shared)
                                     : distance(word, candidate);
    if (steps * 2 <= std::max<size_t>(word.size(), 2) && (best.empty() || steps < best_distance)) {
      best = candidate;
      best_distance = steps;
    }
  }
  return best;
}

}  // namespace alcove::config
