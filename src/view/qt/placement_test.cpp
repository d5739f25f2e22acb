#include "view/qt/placement.h"

#include <gtest/gtest.h>

namespace alcove::view::qt {
namespace {

TEST(Placement, ShowsPixelByPixelWhereTheSizeIsTheViews) {
  const Placement placed = place({800, 600}, {800, 600}, 1, {});
  EXPECT_TRUE(placed.is_exact());
  EXPECT_EQ(placed.target, QRect(0, 0, 800, 600));
  EXPECT_EQ(placed.to_widget({10, 20, 30, 40}), QRect(10, 20, 30, 40));
  EXPECT_EQ(placed.to_picture({0, 0}), QPointF(0.5 / 800, 0.5 / 600));
}

TEST(Placement, CountsPhysicalPixels) {
  EXPECT_EQ(physical_size({800, 601}, 1.25), QSize(1000, 751));
  EXPECT_EQ(physical_size({100, 100}, 1.1), QSize(110, 110));
  const Placement placed = place({1000, 750}, {800, 600}, 1.25, {});
  EXPECT_TRUE(placed.is_exact());
  EXPECT_EQ(placed.to_widget({0, 0, 1000, 750}), QRect(0, 0, 800, 600));
  // One physical pixel lies in one of the widget's.
  EXPECT_EQ(placed.to_widget({999, 0, 1, 1}), QRect(799, 0, 1, 1));
  EXPECT_EQ(placed.to_widget({1, 1, 1, 1}), QRect(0, 0, 2, 2));
}

TEST(Placement, BeginsAtAWholePhysicalPixel) {
  const Placement placed = place({150, 150}, {100, 100}, 1.5, {7, 10});  // At 10.5, 15.
  EXPECT_EQ(placed.origin, QPointF(0.5, 0));
  EXPECT_DOUBLE_EQ(placed.to_picture({50, 50}).x(), 75.0 / 150);
}

TEST(Placement, KeepsProportions) {
  const Placement wide = place({400, 100}, {800, 600}, 1, {});
  EXPECT_EQ(wide.target, QRect(0, 200, 800, 200));
  EXPECT_DOUBLE_EQ(wide.scale(), 2);
  EXPECT_LT(wide.to_picture({10, 100}).y(), 0);
  EXPECT_GT(wide.to_picture({10, 500}).y(), 1);
  const Placement high = place({100, 400}, {800, 200}, 1, {});
  EXPECT_EQ(high.target, QRect(375, 0, 50, 200));
  // The filter reaches into the neighbours.
  EXPECT_EQ(high.to_widget({50, 200, 10, 10}), QRect(399, 99, 7, 7));
}

TEST(Placement, DoesNotBlurForAFewPixels) {
  EXPECT_EQ(place({800, 600}, {803, 601}, 1, {}).target, QRect(1, 0, 800, 600));
  EXPECT_FALSE(place({800, 600}, {799, 600}, 1, {}).is_exact());
}

TEST(Placement, TakesNothing) {
  EXPECT_TRUE(place({0, 0}, {800, 600}, 1, {}).is_empty());
  EXPECT_TRUE(place({800, 600}, {0, 10}, 1, {}).is_empty());
  EXPECT_EQ(place({0, 0}, {800, 600}, 1, {}).to_picture({5, 5}), QPointF());
  EXPECT_TRUE(place({}, {}, 1, {}).to_widget({1, 2, 3, 4}).isEmpty());
}

}  // namespace
}  // namespace alcove::view::qt
