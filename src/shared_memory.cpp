#include "platform.hpp"

#include <belfry/shared_memory.hpp>

#include <array>

namespace belfry {
namespace {

/// As CPython names its blocks: `psm_` and eight hexadecimal digits.
std::string generated_name() {
  std::array<std::byte, 4> random;
  platform::fill_random(random);
  std::string name = "psm_";
  for (const std::byte b : random) {
    constexpr std::string_view digits = "0123456789abcdef";
    name += digits[std::to_integer<std::size_t>(b >> 4)];
    name += digits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  return name;
}

}  // namespace

shared_memory shared_memory::create(std::string_view name, std::size_t bytes, unsigned mode,
                                    detail::failure& f) {
  shared_memory m;
  const bool generate = name.empty();
  if (!generate && !platform::check_name(name, platform::max_name, f)) return {};
  if (bytes == 0) {
    f = {std::make_error_code(std::errc::invalid_argument), "a block must have a size"};
    return {};
  }
  m.block_ = platform::new_block(bytes, mode, f);
  if (!m.block_) return {};
  m.map_ = platform::map_block(m.block_, bytes, 0, true, f);
  if (!m.map_) return {};
  m.bytes_ = bytes;
  do {
    m.name_ = generate ? generated_name() : std::string(name);
    f = {};
    if (platform::publish_block(m.block_, m.name_, f)) return m;
  } while (generate && f.code == std::errc::file_exists);
  return {};
}

shared_memory shared_memory::open(std::string_view name, access a, detail::failure& f) {
  shared_memory m;
  if (!platform::check_name(name, platform::max_name, f)) return {};
  m.name_ = name;
  m.read_only_ = a == access::read_only;
  m.block_ = platform::open_block(name, !m.read_only_, f);
  if (!m.block_) return {};
  const std::uint64_t bytes = platform::block_size(m.block_, f);
  if (f) return {};
  if (bytes == 0) {
    f = {std::make_error_code(std::errc::invalid_argument), '"' + m.name_ + "\" is empty"};
    return {};
  }
  m.map_ = platform::map_block(m.block_, bytes, 0, !m.read_only_, f);
  if (!m.map_) return {};
  m.bytes_ = static_cast<std::size_t>(bytes);
  return m;
}

shared_memory shared_memory::create(std::string_view name, std::size_t bytes, unsigned mode) {
  detail::failure f;
  shared_memory m = create(name, bytes, mode, f);
  if (f) f.raise();
  return m;
}

shared_memory shared_memory::create(std::string_view name, std::size_t bytes, error_code& ec) {
  detail::failure f;
  shared_memory m = create(name, bytes, 0600, f);
  ec = detail::to_net(f.code);
  return m;
}

shared_memory shared_memory::open(std::string_view name, access a) {
  detail::failure f;
  shared_memory m = open(name, a, f);
  if (f) f.raise();
  return m;
}

shared_memory shared_memory::open(std::string_view name, access a, error_code& ec) {
  detail::failure f;
  shared_memory m = open(name, a, f);
  ec = detail::to_net(f.code);
  return m;
}

void shared_memory::unlink(std::string_view name) {
  detail::failure f;
  if (platform::check_name(name, platform::max_name, f)) platform::unlink_block(name, f);
  if (f) f.raise();
}

void shared_memory::unlink(std::string_view name, error_code& ec) {
  detail::failure f;
  if (platform::check_name(name, platform::max_name, f)) platform::unlink_block(name, f);
  ec = detail::to_net(f.code);
}

}  // namespace belfry
