// How a failed system call is reported.
#pragma once

#include <belfry/error.hpp>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace belfry::platform {

inline void fail(detail::failure& f, std::string what, int error = errno) {
  f = {std::error_code(error, std::system_category()), std::move(what)};
}

}  // namespace belfry::platform
