// Which of the host's abilities a machine's processors have: VirtualMachineConfiguration::cpu_model.
#pragma once

#include <alcove/error.h>

#include <bitset>
#include <string_view>

#include "spec/x86_features.h"

namespace alcove::config {

struct CpuModel {
  using Features = std::bitset<spec::x86::kFeatureCount>;  // By their place in spec::x86::kFeatures.

  unsigned level = 0;  // Of x86-64; 0: all that the host has.
  Features added;      // By name, with what they need.
  Features removed;    // By name, with what needs them.

  // What it cannot do without.
  Features required() const;
  // What it has where it is to be had. `emulated`: nothing for kernels depends on the host's processor.
  Features allowed(bool emulated) const;
  bool restricts() const { return level != 0 || removed.any(); }
};

// "host" or "x86-64-v1" to "x86-64-v3", then ",+FEATURE" and ",-FEATURE" as wanted.
Result<CpuModel> parse_cpu_model(std::string_view text);

}  // namespace alcove::config
