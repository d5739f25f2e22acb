// POSIX access control lists as extended attributes carry them (acl(5); Linux's posix_acl_xattr.h).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace alcove::share {

inline constexpr const char* kAccessList = "system.posix_acl_access";
inline constexpr const char* kDefaultList = "system.posix_acl_default";

class AccessList {
 public:
  enum class Tag : uint16_t { owner = 1, user = 2, owning_group = 4, group = 8, mask = 16, others = 32 };
  struct Entry {
    Tag tag{};
    uint16_t permissions = 0;  // Three bits.
    uint32_t id = 0;           // Of users and groups.
  };

  // Nothing, where it is none, or none that acl(5) calls valid.
  static std::optional<AccessList> parse(std::span<const std::byte> bytes);
  std::vector<std::byte> format() const;

  const std::vector<Entry>& entries() const { return entries_; }
  // It says no more than nine bits of a mode do.
  bool is_minimal() const { return entries_.size() == 3; }

  // The nine bits of a mode that go with it.
  mode_t permissions() const;
  // What chmod(2) does to it.
  void set_permissions(mode_t mode);
  // The list of something that was made with the given mode, in a folder whose default list this is.
  AccessList inherited(mode_t mode) const;

  // With other ids; nothing where one has no counterpart.
  using Translate = std::function<std::optional<uint32_t>(Tag, uint32_t)>;
  std::optional<AccessList> translated(const Translate& translate) const;

 private:
  bool has(Tag tag) const;
  std::optional<unsigned> place_in_mode(Tag tag) const;

  std::vector<Entry> entries_;
};

}  // namespace alcove::share
