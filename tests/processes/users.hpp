// Several users on one machine: for tests that run as root.
#pragma once

#include "support/process.hpp"

#include <functional>
#include <vector>

#include <grp.h>
#include <unistd.h>

namespace belfry::test {

inline constexpr uid_t mallory = 54321;
inline constexpr uid_t alice = 54322;
inline constexpr gid_t friends = 54323;

/// A child that runs as another user with these groups.
inline child as_user(uid_t user, const std::vector<gid_t>& groups, const std::function<void()>& body) {
  return child([=] {
    EXPECT_EQ(::setgroups(groups.size(), groups.data()), 0);
    EXPECT_EQ(::setgid(user), 0);
    EXPECT_EQ(::setuid(user), 0);
    body();
  });
}

inline void only_as_root() {
  if (::geteuid() != 0) skip("only root may become another user");
}

}  // namespace belfry::test
