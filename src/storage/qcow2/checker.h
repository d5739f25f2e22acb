// How a check goes: counts references by walking all tables, and compares.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "storage/qcow2/bitmaps.h"
#include "storage/qcow2/check.h"
#include "storage/qcow2/metadata_clusters.h"

namespace alcove::storage::qcow2 {

class Checker {
 public:
  Checker(ImageFile& file, const Header& header, const CheckOptions& options)
      : file_(file), header_(header), options_(options) {}

  // Errno values: what the host says, ECANCELED; EFBIG, EOVERFLOW and E2BIG for an image, its snapshots and
  // its bitmaps too large for this.
  std::expected<CheckReport, int> run();

 private:
  IoResult count_references();
  IoResult count_tables(uint64_t l1_offset, uint64_t l1_size, bool is_active);
  IoResult count_entries(uint64_t table, uint64_t guest_cluster, bool is_active);
  IoResult add(uint64_t offset, uint64_t size);
  IoResult add_metadata(uint64_t offset, uint64_t size);
  IoResult compare();
  IoResult rebuild();
  IoResult check_flags();
  IoResult check_flags_of(const std::vector<uint64_t>& entries, uint64_t offset);
  IoResult clear_marks();
  void error(std::string message);
  void unreadable(std::string message);
  bool is_within(uint64_t offset) const { return offset >> header_.cluster_bits < file_clusters_; }
  bool go_on(double done);

  std::expected<std::vector<uint64_t>, int> read_table(uint64_t offset, uint64_t entries);
  IoResult write(uint64_t offset, const void* data, size_t size);

  ImageFile& file_;
  Header header_;
  const CheckOptions& options_;
  CheckReport report_;
  uint64_t file_clusters_ = 0;
  std::vector<uint16_t> counts_;  // References found to each cluster; the most is "so many or more".
  MetadataClusters metadata_;
  std::vector<uint64_t> blocks_;          // The refcount table's entries.
  std::vector<uint64_t> count_clusters_;  // Those of the table and its blocks themselves.
  uint64_t wrong_counts_ = 0;             // Errors that new counts mend.
  bool is_complete_ = true;               // All references were found: otherwise nothing is repaired.
};

}  // namespace alcove::storage::qcow2
