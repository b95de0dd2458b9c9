#include "../owner.hpp"

#include "fail.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

/// Whether this process belongs to that group.
bool is_in_group(gid_t group) {
  if (group == ::getegid()) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

std::string octal(unsigned mode) {
  char text[8];
  std::snprintf(text, sizeof text, "0%03o", mode & 0777);
  return text;
}

}  // namespace

ownership ownership_of(const unique_handle& handle) noexcept {
  struct stat status {};
  if (::fstat(handle.get(), &status) != 0) return {};
  return {status.st_uid, status.st_gid, status.st_mode & 0777};
}

bool give_to_users(const unique_handle& made, const ownership& as, failure& f) {
  const ownership own = ownership_of(made);
  const bool to_user = own.user == 0 && as.user != 0;
  const bool to_group = own.group != as.group;
  const bool needed = to_user || (to_group && (as.mode & 060) != 0 && (as.mode & 006) == 0);
  const uid_t user = to_user ? static_cast<uid_t>(as.user) : static_cast<uid_t>(-1);
  if ((to_user || to_group) &&
      ::fchown(made.get(), user, static_cast<gid_t>(as.group)) != 0 && needed) {
    fail(f, "set the group of a file that belongs to a block,  " + std::to_string(as.group));
    return false;
  }
  if (::fchmod(made.get(), as.mode & 0777) == 0) return true;
  fail(f, "set the mode of a file that belongs to a block");
  return false;
}

bool check_owner(const unique_handle& handle, std::string_view name, unsigned mode,
                 std::uint64_t trusted, failure& f) {
  const std::string shown = '"' + std::string(name) + '"';
  struct stat status {};
  if (::fstat(handle.get(), &status) != 0) {
    fail(f, "stat " + shown);
    return false;
  }
  const bool open_to_all = (mode & 006) == 006;
  const bool open_to_group = (mode & 060) == 060;
  if (status.st_uid == ::geteuid() || status.st_uid == 0 || status.st_uid == trusted ||
      open_to_all || (open_to_group && is_in_group(status.st_gid))) {
    return true;
  }
  fail(f, shown + " belongs to user " + std::to_string(status.st_uid) + ", and the requested mode " +
              octal(mode) + " does not let that user in", EACCES);
  return false;
}

}  // namespace belfry::platform
