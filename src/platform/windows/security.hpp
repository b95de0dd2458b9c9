// The users that may use a bell, or a block.
#pragma once

#include "directory.hpp"
#include "system.hpp"

#include <sddl.h>

#include <string>

namespace belfry::platform {

/// This user, the system, and all others if the mode lets all others in. Groups of Linux have no counterpart.
class access_list {
 public:
  /// No user at all, until another list is set.
  static constexpr unsigned none = ~0u;

  access_list(unsigned mode, detail::failure& f) {
    std::wstring text = L"D:P";
    if (mode != none) {
      text += L"(A;;GA;;;SY)(A;;GA;;;" + user_sid(f) + L')';
      if (f) return;
      if ((mode & 006) == 006) text += L"(A;;GA;;;WD)";
    }
    if (::ConvertStringSecurityDescriptorToSecurityDescriptorW(text.c_str(), SDDL_REVISION_1, &descriptor_, nullptr) == 0)
      fail(f, "describe the access to a bell or block");
  }
  ~access_list() { ::LocalFree(descriptor_); }
  access_list(const access_list&) = delete;
  access_list& operator=(const access_list&) = delete;

  PSECURITY_DESCRIPTOR get() const noexcept { return descriptor_; }
  SECURITY_ATTRIBUTES attributes() const noexcept { return {sizeof(SECURITY_ATTRIBUTES), descriptor_, FALSE}; }

 private:
  PSECURITY_DESCRIPTOR descriptor_ = nullptr;
};

}  // namespace belfry::platform
