
#include "address.hpp"

#include "../../platform/random_digits.hpp"

#include <belfry/asio.hpp>

#include <charconv>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/ip/address.hpp>
#else
#include <asio/ip/address.hpp>
#endif

namespace belfry::detail {
namespace {

constexpr std::size_t longest_path = 107;  // sun_path, less its NUL

/// Splits `host:port`; false if it is malformed.
bool split(std::string_view text, std::string_view& host, std::uint16_t& port) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos || text.find('/') != text.npos) return false;
  host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return false;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), port).ec != std::errc()) {
    host = {};  // no valid port: then the address has no host either
    return true;
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return true;
}

}  // namespace

manager_address manager_address::parse(std::string_view text, failure& f) {
  const auto reject = [&](const char* why) {
    f = {std::make_error_code(std::errc::invalid_argument),
         "the address \"" + std::string(text.substr(0, 128)) + "\" " + why};
    return manager_address{};
  };
  if (text.empty()) return reject("is empty");
  manager_address a;
  if (text.front() == '@' || text.front() == '\0') {
    a.kind = family::abstract;
    a.name = text.substr(1);
    if (a.name.empty()) return reject("has no name");
    if (a.name.size() > longest_path) return reject("is too long");
    return a;
  }
  std::string_view host;
  if (split(text, host, a.port)) {
    a.kind = family::ip;
    error_code ec;
    const auto ip = host == "localhost" ? net::ip::make_address("127.0.0.1")
                                        : net::ip::make_address(std::string(host), ec);
    if (ec) return reject("has no numeric host before its port");
    a.name = ip.to_string();
    return a;
  }
  a.name = text;
  if (a.name.find('\0') != a.name.npos) return reject("has a NUL byte");
  if (a.name.size() > longest_path) return reject("is too long for a Unix socket");
  return a;
}

manager_address manager_address::unused(const std::string& directory, failure& f) {
  const std::string digits = random_digits(16, f);
  return f ? manager_address{} : parse(directory + "/manager-" + digits, f);
}

bool manager_address::is_loopback() const {
  return kind == family::ip && net::ip::make_address(name).is_loopback();
}

std::string manager_address::text() const {
  switch (kind) {
    case family::abstract: return '@' + name;
    case family::ip: {
      const bool six = name.find(':') != name.npos;
      return (six ? '[' + name + ']' : name) + ':' + std::to_string(port);
    }
    case family::path: break;
  }
  return name;
}

}  // namespace belfry::detail
