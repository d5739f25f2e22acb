#include "storage/qcow2/create.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <vector>

#include "storage/qcow2/big_endian.h"
#include "storage/qcow2/header.h"
#include "storage/qcow2/refcounts.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

Result<> create_image(ImageFile& file, const CreateOptions& options, const std::string& where) {
  const auto refuse = [&](std::string what, std::string hint = {}) {
    return fail(ErrorCode::invalid_disk_image, where, std::move(what), std::move(hint));
  };
  if (!std::has_single_bit(options.cluster_size) || options.cluster_size < 1u << kLeastClusterBits ||
      options.cluster_size > 1u << kMostClusterBits) {
    return refuse(fmt::format("clusters can't have {} bytes", options.cluster_size),
                  "a power of two, 512 bytes to 2 MiB");
  }
  if (options.size == 0 || options.size % 512)
    return refuse(fmt::format("a disk can't have {} bytes", options.size), "a multiple of 512");
  Header header{.cluster_bits = static_cast<uint32_t>(std::countr_zero(options.cluster_size)),
                .size = options.size,
                .incompatible_features = options.zstd ? kHasCompressionType : 0,
                .compression = options.zstd ? kZstd : kZlib,
                .backing_file = options.backing_file,
                .backing_format = options.backing_format};
  const uint64_t l1_entries = options.size / header.l2_reach() + (options.size % header.l2_reach() ? 1 : 0);
  if (l1_entries * 8 > kMostL1Bytes) {
    return refuse(fmt::format("{} bytes are too many for clusters of {}", options.size, options.cluster_size),
                  "make clusters larger");
  }
  // The header, the L1 table, the refcount table and its blocks.
  const uint64_t l1_clusters = header.clusters(l1_entries * 8), per_block = header.refcounts_per_block();
  uint64_t blocks = 1, table_clusters = 1;
  while (1 + l1_clusters + table_clusters + blocks > blocks * per_block) {
    ++blocks;
    table_clusters = header.clusters(blocks * 8);
  }
  header.l1_size = static_cast<uint32_t>(l1_entries);
  header.refcount_table_clusters = static_cast<uint32_t>(table_clusters);
  header.refcount_table_offset = header.cluster_size();
  const uint64_t first_block = 1 + table_clusters;
  header.l1_offset = (first_block + blocks) << header.cluster_bits;
  const uint64_t used = first_block + blocks + l1_clusters;

  const auto start = make_header(header, where);
  if (!start) return std::unexpected(start.error());
  std::vector<std::byte> tables((used - 1) << header.cluster_bits);
  for (uint64_t i = 0; i < blocks; ++i) store(&tables[i * 8], (first_block + i) << header.cluster_bits);
  for (uint64_t i = 0; i < used; ++i) {
    set_count(&tables[(first_block - 1 + i / per_block) << header.cluster_bits], header.refcount_order,
              i % per_block, 1);
  }
  // The header comes last: half an image is none.
  const iovec tables_buffer{tables.data(), tables.size()};
  const iovec start_buffer{const_cast<std::byte*>(start->data()), start->size()};
  IoResult done = file.write(header.cluster_size(), {&tables_buffer, 1});
  if (done) done = file.barrier();
  if (done) done = file.write(0, {&start_buffer, 1});
  if (done) done = file.flush();
  if (!done) {
    return fail(done.error() == ENOSPC ? ErrorCode::out_of_disk_space : ErrorCode::invalid_disk_image, where,
                fmt::format("can't be written: {}", std::strerror(done.error())));
  }
  return {};
}

}  // namespace alcove::storage::qcow2
