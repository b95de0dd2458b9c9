// The address of a manager.
//
//   /run/some/socket    a Unix socket, by its path (anything with a slash, or with neither of the forms below)
//   @name               a Unix socket in Linux's abstract namespace; CPython writes "\0name"
//   127.0.0.1:5000      TCP; also localhost:5000, [::1]:5000; port 0 chooses a free one
#pragma once

#include <belfry/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace belfry::detail {

struct manager_address {
  enum class family { path, abstract, ip };

  family kind = family::path;
  std::string name;        // path, abstract name, or numeric host
  std::uint16_t port = 0;  // host byte order

  bool is_local() const noexcept { return kind != family::ip; }
  bool is_loopback() const;
  /// The address as text, as parse() reads it.
  std::string text() const;

  /// `std::errc::invalid_argument` if the text is malformed.
  static manager_address parse(std::string_view text, failure& f);
  /// A path in the directory that no other server has.
  static manager_address unused(const std::string& directory, failure& f);
};

}  // namespace belfry::detail
