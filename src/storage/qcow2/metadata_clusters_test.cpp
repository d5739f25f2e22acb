#include "storage/qcow2/metadata_clusters.h"

#include <gtest/gtest.h>

namespace alcove::storage::qcow2 {
namespace {

TEST(MetadataClusters, AreThoseThatWereAddedAndNotRemoved) {
  MetadataClusters clusters;
  EXPECT_FALSE(clusters.overlap(0, 1000));
  clusters.add({30, 10, 12});
  clusters.add(20, 3);
  // Over what is there, in part and in full.
  clusters.add(11, 10);
  clusters.add(12, 2);
  clusters.add(5, 0);
  for (uint64_t cluster = 0; cluster < 40; ++cluster)
    EXPECT_EQ(clusters.overlap(cluster, 1), (cluster >= 10 && cluster < 23) || cluster == 30) << cluster;
  EXPECT_TRUE(clusters.overlap(0, 11));
  EXPECT_FALSE(clusters.overlap(23, 7));
  clusters.remove(12, 5);
  EXPECT_FALSE(clusters.overlap(12, 5));
  EXPECT_TRUE(clusters.overlap(11, 1));
  EXPECT_TRUE(clusters.overlap(17, 1));
}

}  // namespace
}  // namespace alcove::storage::qcow2
