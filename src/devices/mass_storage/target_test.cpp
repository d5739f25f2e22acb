#include "devices/mass_storage/target.h"

#include <gtest/gtest.h>

namespace alcove::devices::mass_storage {
namespace {

using namespace spec::scsi;

constexpr uint64_t kSize = 8 << 20;

Bytes cdb(std::initializer_list<unsigned> values) {
  Bytes bytes;
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

struct TargetTest : ::testing::Test {
  Bytes answer(std::initializer_list<unsigned> values) { return answer(target, values); }
  static Bytes answer(Target& from, std::initializer_list<unsigned> values) {
    const Command command = from.parse(cdb(values));
    const auto* found = std::get_if<Answer>(&command);
    EXPECT_TRUE(found);
    return found ? found->bytes : Bytes();
  }
  Sense refusal(std::initializer_list<unsigned> values) {
    const Command command = target.parse(cdb(values));
    const auto* sense = std::get_if<Sense>(&command);
    EXPECT_TRUE(sense);
    return sense ? *sense : Sense{};
  }
  static unsigned at(const Bytes& bytes, size_t index) { return std::to_integer<unsigned>(bytes.at(index)); }

  Target target{{.size = kSize, .serial = "0123456789AB"}};
  Target disc{{.size = kSize, .is_optical = true, .serial = "1"}};
};

TEST_F(TargetTest, Inquiry) {
  const Bytes standard = answer({kInquiry, 0, 0, 0, 36, 0});
  ASSERT_EQ(standard.size(), 36u);
  EXPECT_EQ(at(standard, 0), kTypeDisk);
  EXPECT_EQ(at(standard, 1), 0x80u);
  EXPECT_EQ(answer({kInquiry, 0, 0, 0, 5, 0}).size(), 5u);
  EXPECT_EQ(at(answer(disc, {kInquiry, 0, 0, 0, 36, 0}), 0), kTypeOptical);
  const Bytes pages = answer({kInquiry, 1, 0, 0, 255, 0});
  // Every page that is listed is there.
  for (size_t index = 4; index < pages.size(); ++index) {
    EXPECT_EQ(at(answer({kInquiry, 1, at(pages, index), 0, 255, 0}), 1), at(pages, index));
  }
  EXPECT_EQ(refusal({kInquiry, 1, 0xC0, 0, 255, 0}), kInvalidField);
}

TEST_F(TargetTest, HasOneUnit) {
  const Bytes units = answer({kReportLuns, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0});
  ASSERT_EQ(units.size(), 16u);
  for (size_t index = 0; index < units.size(); ++index) EXPECT_EQ(at(units, index), index == 3 ? 8u : 0u);
}

TEST_F(TargetTest, Capacity) {
  const Bytes ten = answer({kReadCapacity10, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(at(ten, 1) << 16 | at(ten, 2) << 8 | at(ten, 3), kSize / 512 - 1);
  EXPECT_EQ(at(ten, 6) << 8 | at(ten, 7), 512u);
  const Bytes sixteen =
      answer({kServiceActionIn16, kActionReadCapacity16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0});
  EXPECT_EQ(sixteen.size(), 32u);
  EXPECT_EQ(at(sixteen, 14) & 0x80, 0x80u);
  EXPECT_EQ(at(answer(disc, {kReadCapacity10, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 6), 8u);
  // Larger than ten bytes can say.
  Target large{{.size = uint64_t{3} << 40, .serial = "1"}};
  EXPECT_EQ(at(answer(large, {kReadCapacity10, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 0), 0xFFu);
}

TEST_F(TargetTest, ReadsAndWritesWithinTheDisk) {
  const Command read = target.parse(cdb({kRead10, 0, 0, 0, 0, 2, 0, 0, 3, 0}));
  EXPECT_EQ(std::get<Read>(read).offset, 1024u);
  EXPECT_EQ(std::get<Read>(read).size, 1536u);
  const Command write = target.parse(cdb({kWrite16, 8, 0, 0, 0, 0, 0, 0, 0x3F, 0xFF, 0, 0, 0, 1, 0, 0}));
  EXPECT_EQ(std::get<Write>(write).offset, kSize - 512);
  EXPECT_TRUE(std::get<Write>(write).to_medium);
  EXPECT_EQ(std::get<Read>(target.parse(cdb({kRead6, 0, 0, 1, 0, 0}))).size, 256u * 512);
  EXPECT_EQ(std::get<Read>(disc.parse(cdb({kRead12, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}))).offset, 2048u);
  EXPECT_TRUE(std::holds_alternative<Nothing>(target.parse(cdb({kRead10, 0, 0, 0, 0, 2, 0, 0, 0, 0}))));
}

TEST_F(TargetTest, RefusesWhatLiesBeyond) {
  EXPECT_EQ(refusal({kRead10, 0, 0, 0, 0x40, 0, 0, 0, 1, 0}), kOutOfRange);
  EXPECT_EQ(refusal({kRead10, 0, 0, 0, 0x3F, 0xFF, 0, 0, 2, 0}), kOutOfRange);
  EXPECT_EQ(
      refusal({kWrite16, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0}),
      kOutOfRange);
  EXPECT_EQ(refusal({0xFF}), kInvalidOperation);
  EXPECT_EQ(refusal({kReadToc, 0, 0, 0, 0, 0, 0, 0, 12, 0}), kInvalidOperation);
}

TEST_F(TargetTest, ReadOnlyDisksAreWriteProtected) {
  Target protected_disk{{.size = kSize, .read_only = true, .serial = "1"}};
  EXPECT_EQ(std::get<Sense>(protected_disk.parse(cdb({kWrite10, 0, 0, 0, 0, 2, 0, 0, 3, 0}))),
            kWriteProtected);
  EXPECT_EQ(std::get<Sense>(protected_disk.parse(cdb({kUnmap, 0, 0, 0, 0, 0, 0, 0, 24, 0}))),
            kWriteProtected);
  EXPECT_EQ(at(answer(protected_disk, {kModeSense6, 0, 0x3F, 0, 192, 0}), 2), 0x90u);
  EXPECT_EQ(at(answer({kModeSense6, 0, 0x3F, 0, 192, 0}), 2), 0x10u);
}

TEST_F(TargetTest, ModePages) {
  const Bytes caching = answer({kModeSense6, 0, 0x08, 0, 192, 0});
  EXPECT_EQ(at(caching, 0), caching.size() - 1);
  EXPECT_EQ(at(caching, 4), 0x08u);
  EXPECT_EQ(at(caching, 6), 0x04u);  // Writes are cached.
  const Bytes all = answer({kModeSense10, 0, 0x3F, 0, 0, 0, 0, 1, 0, 0});
  EXPECT_EQ(at(all, 0) << 8 | at(all, 1), all.size() - 2);
  EXPECT_EQ(refusal({kModeSense6, 0, 0x01, 0, 192, 0}), kInvalidField);
}

TEST_F(TargetTest, EjectsUnlessPrevented) {
  EXPECT_TRUE(std::holds_alternative<Nothing>(target.parse(cdb({kPreventAllow, 0, 0, 0, 1, 0}))));
  EXPECT_EQ(refusal({kStartStopUnit, 0, 0, 0, 2, 0}), kRemovalPrevented);
  EXPECT_TRUE(std::holds_alternative<Nothing>(target.parse(cdb({kPreventAllow, 0, 0, 0, 0, 0}))));
  EXPECT_TRUE(std::holds_alternative<Flush>(target.parse(cdb({kStartStopUnit, 0, 0, 0, 2, 0}))));
  EXPECT_EQ(refusal({kTestUnitReady, 0, 0, 0, 0, 0}), kMediumNotPresent);
  EXPECT_EQ(refusal({kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}), kMediumNotPresent);
  target.parse(cdb({kStartStopUnit, 0, 0, 0, 3, 0}));
  EXPECT_TRUE(std::holds_alternative<Nothing>(target.parse(cdb({kTestUnitReady, 0, 0, 0, 0, 0}))));
}

TEST_F(TargetTest, TellsSenseOnce) {
  target.set_sense(kOutOfRange);
  EXPECT_EQ(at(answer({kRequestSense, 0, 0, 0, 18, 0}), 12), 0x21u);
  EXPECT_EQ(at(answer({kRequestSense, 0, 0, 0, 18, 0}), 12), 0u);
}

TEST_F(TargetTest, Unmap) {
  EXPECT_EQ(std::get<Parameters>(target.parse(cdb({kUnmap, 0, 0, 0, 0, 0, 0, 0, 24, 0}))).size, 24u);
  Bytes list = cdb({0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 0});
  auto ranges = target.unmap(list);
  ASSERT_TRUE(ranges);
  ASSERT_EQ(ranges->size(), 1u);
  EXPECT_EQ(ranges->front().offset, 2048u);
  EXPECT_EQ(ranges->front().size, 4096u);
  list[8] = std::byte{1};
  EXPECT_EQ(target.unmap(list).error(), kOutOfRange);
  EXPECT_TRUE(target.unmap({})->empty());
  // A length beyond what came is cut.
  EXPECT_TRUE(target.unmap(cdb({0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}))->empty());
}

TEST_F(TargetTest, ADiscHasATableOfContents) {
  const Bytes contents = answer(disc, {kReadToc, 0, 0, 0, 0, 0, 0, 0, 255, 0});
  EXPECT_EQ(at(contents, 1), contents.size() - 2);
  EXPECT_EQ(at(contents, 14), 0xAAu);
  EXPECT_EQ(at(contents, 18) << 8 | at(contents, 19), kSize / 2048);
  const Bytes events = answer(disc, {kGetEventStatus, 1, 0, 0, 0x10, 0, 0, 0, 8, 0});
  EXPECT_EQ(at(events, 5), 2u);  // A disc is in.
  EXPECT_EQ(std::get<Sense>(disc.parse(cdb({kWrite10, 0, 0, 0, 0, 2, 0, 0, 3, 0}))).key, 7);
  disc.parse(cdb({kStartStopUnit, 0, 0, 0, 2, 0}));
  EXPECT_EQ(at(answer(disc, {kGetEventStatus, 1, 0, 0, 0x10, 0, 0, 0, 8, 0}), 5), 1u);
  EXPECT_GT(answer(disc, {kGetConfiguration, 0, 0, 0, 0, 0, 0, 0, 255, 0}).size(), 8u);
}

TEST_F(TargetTest, DiscsChange) {
  const auto sense = [&](std::initializer_list<unsigned> values) {
    const Command command = disc.parse(cdb(values));
    const auto* found = std::get_if<Sense>(&command);
    return found ? *found : kNoSense;
  };
  const auto event = [&] { return answer(disc, {kGetEventStatus, 1, 0, 0, 0x10, 0, 0, 0, 8, 0}); };
  EXPECT_EQ(at(event(), 4), 0u);
  EXPECT_EQ(at(event(), 5), 2u);
  disc.parse(cdb({kPreventAllow, 0, 0, 0, 1, 0}));

  disc.change_medium(std::nullopt);
  EXPECT_EQ(sense({kTestUnitReady, 0, 0, 0, 0, 0}), kMediumNotPresent);
  EXPECT_EQ(at(event(), 4), kEventMediumRemoved);
  EXPECT_EQ(at(event(), 4), 0u);
  EXPECT_EQ(at(event(), 5), 0u) << "neither a disc nor an open tray";
  EXPECT_EQ(sense({kStartStopUnit, 0, 0, 0, 3, 0}), kNoSense);
  EXPECT_EQ(sense({kTestUnitReady, 0, 0, 0, 0, 0}), kMediumNotPresent) << "closing the tray brings none";
  EXPECT_EQ(sense({kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}), kMediumNotPresent);

  disc.change_medium(kSize / 2);
  EXPECT_EQ(at(answer(disc, {kInquiry, 0, 0, 0, 36, 0}), 0), kTypeOptical) << "which does not wait for it";
  EXPECT_EQ(sense({kTestUnitReady, 0, 0, 0, 0, 0}), kMediumChanged);
  EXPECT_EQ(sense({kTestUnitReady, 0, 0, 0, 0, 0}), kNoSense);
  EXPECT_EQ(at(event(), 4), kEventNewMedium);
  EXPECT_EQ(at(event(), 5), 2u);
  EXPECT_EQ(disc.block_count(), kSize / 2 / 2048);
  EXPECT_EQ(sense({kRead10, 0, 0, 0, kSize / 2 / 2048 >> 8, kSize / 2 / 2048 & 0xff, 0, 0, 1, 0}),
            kOutOfRange);
}

}  // namespace
}  // namespace alcove::devices::mass_storage
