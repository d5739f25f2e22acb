#include "firmware/acpi_tables.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <sstream>

#include "firmware/aml.h"
#include "spec/acpi.h"
#include "support/testing/temporary_folder.h"

namespace alcove::firmware {
namespace {

using spec::acpi::Fadt;
using spec::acpi::Rsdp;
using spec::acpi::TableHeader;

constexpr uint64_t kBase = 0xe0000;

BoardDescription board(unsigned cpus) {
  return {.cpu_count = cpus,
          .local_apic_address = 0xfee00000,
          .ioapic_address = 0xfec00000,
          .ecam_address = 0xe0000000,
          .last_bus = 0,
          .memory_window32 = {0xc0000000, 0xdfffffff},
          .memory_window64 = {0x200000000, 0x9ffffffff},
          .pm_port = 0x600,
          .hot_plug = {.slots = {4, 5, 6, 30}, .port = 0x640},
          .reset_port = 0xcf9,
          .reset_value = 6,
          .rtc_century = 0x32,
          .serial_ports = {{0x3f8, 4}, {0x2f8, 3}}};
}

uint8_t sum(std::span<const uint8_t> bytes) {
  uint8_t total = 0;
  for (uint8_t byte : bytes) total = static_cast<uint8_t>(total + byte);
  return total;
}

template <class T>
T value_at(const AcpiTables& acpi, uint64_t address) {
  T value;
  EXPECT_LE(address - kBase + sizeof value, acpi.tables.size());
  std::memcpy(&value, acpi.tables.data() + (address - kBase), sizeof value);
  return value;
}

// The tables that the XSDT names, checksums verified.
std::map<std::string, std::vector<uint8_t>> collect(const AcpiTables& acpi) {
  std::map<std::string, std::vector<uint8_t>> found;
  const auto take = [&](uint64_t address) {
    const auto header = value_at<TableHeader>(acpi, address);
    const auto bytes = std::span(acpi.tables).subspan(address - kBase, header.length);
    EXPECT_EQ(sum(bytes), 0);
    auto& table = found[std::string(header.signature.data(), 4)];
    table.assign(bytes.begin(), bytes.end());
    return header;
  };
  const auto rsdp = value_at<Rsdp>(acpi, acpi.rsdp);
  const auto xsdt = take(rsdp.xsdt_address);
  for (uint64_t at = sizeof(TableHeader); at < xsdt.length; at += 8) {
    take(value_at<uint64_t>(acpi, rsdp.xsdt_address + at));
  }
  take(value_at<Fadt>(acpi, value_at<uint64_t>(acpi, rsdp.xsdt_address + sizeof(TableHeader))).x_dsdt);
  return found;
}

TEST(AcpiTables, LinkedAndSummed) {
  const AcpiTables acpi = build_acpi_tables(board(2), kBase);
  EXPECT_EQ(acpi.rsdp % 16, 0u);
  const auto at = std::span(acpi.tables).subspan(acpi.rsdp - kBase);
  ASSERT_GE(at.size(), 36u);
  EXPECT_EQ(std::string(at.begin(), at.begin() + 8), "RSD PTR ");
  EXPECT_EQ(sum(at.first(20)), 0);
  EXPECT_EQ(sum(at.first(36)), 0);
  const auto tables = collect(acpi);
  EXPECT_EQ(tables.size(), 5u);
  for (const char* name : {"XSDT", "FACP", "APIC", "MCFG", "DSDT"})
    EXPECT_TRUE(tables.contains(name)) << name;
}

TEST(AcpiTables, EachProcessorHasAnEntry) {
  const auto madt = collect(build_acpi_tables(board(300), kBase)).at("APIC");
  std::map<int, int> entries;
  for (size_t at = 44; at < madt.size(); at += madt[at + 1]) ++entries[madt[at]];
  EXPECT_EQ(entries, (std::map<int, int>{{0, 255}, {1, 1}, {2, 2}, {4, 1}, {9, 45}}));
}

TEST(Aml, PackageLengthsOfEverySize) {
  using namespace aml;
  EXPECT_EQ(package({}), (Term{0x12, 0x02, 0x00}));
  EXPECT_EQ(scope("X", {Term(57)}).size(), 1 + 1 + 4 + 57u);
  EXPECT_EQ(scope("X", {Term(59)})[1], 0x41);  // 63 + 2 does not fit six bits.
  EXPECT_EQ(scope("X", {Term(59)})[2], 0x04);
  EXPECT_EQ(scope("X", {Term(5000)})[1] >> 6, 2);
  EXPECT_EQ(eisa_id("PNP0A03"), (Term{0x0c, 0x41, 0xd0, 0x0a, 0x03}));
}

class IaslTest : public testing::TestWithParam<std::string> {};

std::string run(const std::string& command) {
  std::string output;
  if (FILE* pipe = popen((command + " 2>&1").c_str(), "r")) {
    char chunk[4096];
    while (size_t size = fread(chunk, 1, sizeof chunk, pipe)) output.append(chunk, size);
    pclose(pipe);
  }
  return output;
}

// The reference compiler understands each table and compiles its own disassembly.
TEST_P(IaslTest, RoundTrip) {
  if (run("command -v iasl").empty()) GTEST_SKIP() << "iasl (package acpica-tools) is not installed";
  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  const auto table = collect(build_acpi_tables(board(4), kBase)).at(GetParam());
  std::ofstream(folder / "table.aml", std::ios::binary)
      .write(reinterpret_cast<const char*>(table.data()), static_cast<std::streamsize>(table.size()));
  const std::string at = "cd " + folder.string() + " && ";
  const std::string disassembly = run(at + "iasl -d table.aml");
  EXPECT_EQ(disassembly.find("rror"), std::string::npos) << disassembly;
  const std::string compilation = run(at + "iasl -p again table.dsl");
  EXPECT_NE(compilation.find("0 Errors"), std::string::npos) << compilation;
  if (GetParam() == "DSDT") {
    EXPECT_NE(compilation.find("0 Warnings"), std::string::npos) << compilation;
    std::ifstream again(folder / "again.aml", std::ios::binary);
    std::stringstream bytes;
    bytes << again.rdbuf();
    // The compiler writes its own name and version into the header; all else must be the same.
    ASSERT_EQ(bytes.str().size(), table.size());
    EXPECT_EQ(std::memcmp(bytes.str().data() + 36, table.data() + 36, table.size() - 36), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, IaslTest, testing::Values("DSDT", "FACP", "APIC", "MCFG"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace alcove::firmware
