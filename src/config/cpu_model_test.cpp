#include "config/cpu_model.h"

#include <gtest/gtest.h>

#include <string>

namespace alcove::config {
namespace {

using spec::x86::kFeatures;

bool has(const CpuModel::Features& set, std::string_view name) {
  for (size_t i = 0; i < std::size(kFeatures); ++i)
    if (kFeatures[i].name == name) return set.test(i);
  ADD_FAILURE() << name;
  return false;
}

CpuModel parse(std::string_view text) {
  auto model = parse_cpu_model(text);
  EXPECT_TRUE(model) << text;
  return model.value_or(CpuModel{});
}

std::string error(std::string_view text) {
  const auto model = parse_cpu_model(text);
  EXPECT_FALSE(model) << text;
  return model ? "" : model.error().where + ": " + model.error().what;
}

TEST(CpuModel, HostIsAllThereIs) {
  const CpuModel host = parse("host");
  EXPECT_FALSE(host.restricts());
  EXPECT_TRUE(host.required().none());
  EXPECT_TRUE(host.allowed(false).all());
}

TEST(CpuModel, LevelsContainThoseBelow) {
  for (const char* level : {"x86-64-v1", "x86-64-v2", "x86-64-v3"})
    EXPECT_TRUE(has(parse(level).required(), "sse2"));
  EXPECT_FALSE(has(parse("x86-64-v1").allowed(true), "popcnt"));
  EXPECT_TRUE(has(parse("x86-64-v2").required(), "popcnt"));
  EXPECT_FALSE(has(parse("x86-64-v2").allowed(true), "avx"));
  EXPECT_FALSE(has(parse("x86-64-v2").allowed(true), "aes"));
  EXPECT_TRUE(has(parse("x86-64-v3").required(), "bmi2"));
  EXPECT_FALSE(has(parse("x86-64-v3").allowed(true), "avx512f"));
}

TEST(CpuModel, WhatKernelsUseDependsOnTheHostOnlyWhereItExecutesThem) {
  const CpuModel model = parse("x86-64-v2");
  EXPECT_TRUE(has(model.allowed(true), "pcid"));
  EXPECT_FALSE(has(model.allowed(false), "pcid"));
  EXPECT_FALSE(has(model.required(), "pcid"));
  EXPECT_TRUE(has(model.allowed(false), "x2apic"));
  EXPECT_TRUE(has(parse("x86-64-v2,+pcid").allowed(false), "pcid"));
}

TEST(CpuModel, FeaturesComeAndGoWithWhatTheyNeed) {
  const CpuModel more = parse("x86-64-v2,+avx2");
  for (const char* name : {"avx2", "avx", "xsave"}) EXPECT_TRUE(has(more.required(), name)) << name;
  EXPECT_FALSE(has(more.allowed(true), "fma"));
  const CpuModel less = parse("x86-64-v3,-avx");
  EXPECT_TRUE(less.restricts());
  for (const char* name : {"avx2", "avx", "fma", "f16c", "vaes"})
    EXPECT_FALSE(has(less.allowed(true), name)) << name;
  for (const char* name : {"xsave", "bmi2"}) EXPECT_TRUE(has(less.required(), name)) << name;
  EXPECT_FALSE(has(parse("host,-xsave").allowed(true), "avx2"));
  // The last word counts.
  EXPECT_TRUE(has(parse("host,-avx,+avx2").allowed(true), "avx"));
  EXPECT_FALSE(has(parse("host,+avx2,-avx").required(), "avx2"));
  EXPECT_TRUE(has(parse("x86-64-v1,+pni,+lzcnt").required(), "sse3"));
}

TEST(CpuModel, ErrorsNameTheWord) {
  EXPECT_EQ(error("x86-64-v8"),
            "cpu_model: there is no processor model \"x86-64-v8\" (did you mean \"x86-64-v1\"?)");
  EXPECT_EQ(error(""), "cpu_model: there is no processor model \"\"");
  EXPECT_EQ(error("host,avx"), "cpu_model: \"avx\" neither adds nor removes a feature");
  EXPECT_EQ(error("host,"), "cpu_model: \"\" neither adds nor removes a feature");
  EXPECT_EQ(error("host,+avx3"), "cpu_model: there is no feature \"avx3\" (did you mean \"avx\"?)");
  EXPECT_EQ(error("host,-sse2"), "cpu_model: a processor for x86-64 can't be without \"sse2\"");
}

}  // namespace
}  // namespace alcove::config
