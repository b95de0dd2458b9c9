#include "../platform/memory.hpp"
#include "../platform/random_digits.hpp"
#include "block_maker.hpp"
#include "companion.hpp"

#include <belfry/shared_memory.hpp>

namespace belfry {

shared_memory detail::block_maker::make(std::size_t bytes, unsigned mode, failure& f) {
  shared_memory m;
  if (bytes == 0) {
    f = {std::make_error_code(std::errc::invalid_argument), "the size of a block must not be 0"};
    return {};
  }
  m.block_ = platform::new_memory(bytes, mode, f);
  if (!m.block_) return {};
  m.map_ = platform::map_memory(m.block_.block, bytes, true, f);
  if (!m.map_) return {};
  m.bytes_ = bytes;
  return m;
}

std::string detail::block_maker::new_name(failure& f) {
  return std::string(platform::prefix_of_names()) + random_digits(8, f);
}

bool detail::block_maker::publish(std::string_view name, failure& f, unsigned mode, platform::contents now) {
  if (!platform::check_name(name, platform::max_name, f)) return false;
  if (!platform::publish_memory(block_.block_, block_.map_, now, name, mode, f)) return false;
  block_.name_ = name;
  return true;
}

bool detail::block_maker::publish_as(std::string_view name, failure& f, unsigned mode, platform::contents now) {
  if (!name.empty()) return publish(name, f, mode, now);
  do {
    f = {};
    const std::string free = new_name(f);
    if (!f && publish(free, f, mode, now)) return true;
  } while (f.code == std::errc::file_exists);
  return false;
}

shared_memory shared_memory::create(std::string_view name, std::size_t bytes, unsigned mode,
                                    detail::failure& f) {
  if (!name.empty() && !platform::check_name(name, platform::max_name, f)) return {};
  shared_memory m = detail::block_maker::make(bytes, mode, f);
  if (f || !detail::block_maker(m).publish_as(name, f, mode, platform::contents::zero)) return {};
  return m;
}

shared_memory shared_memory::open(std::string_view name, access a, detail::failure& f) {
  shared_memory m;
  if (!platform::check_name(name, platform::max_name, f)) return {};
  m.name_ = name;
  m.read_only_ = a == access::read_only;
  m.block_ = platform::open_memory(name, !m.read_only_, f);
  if (!m.block_) return {};
  const std::uint64_t bytes = platform::memory_size(m.block_.block, f);
  if (f) return {};
  if (bytes == 0) {
    f = {std::make_error_code(std::errc::invalid_argument), '"' + m.name_ + "\" is empty"};
    return {};
  }
  m.map_ = platform::map_memory(m.block_.block, bytes, !m.read_only_, f);
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

shared_memory shared_memory::create(std::string_view name, std::size_t bytes, unsigned mode,
                                    error_code& ec) {
  detail::failure f;
  shared_memory m = create(name, bytes, mode, f);
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

void shared_memory::unlink(std::string_view name, detail::failure& f) {
  if (!platform::check_name(name, platform::max_name, f)) return;
  // If the companion has live participants, the last one removes it when it leaves.
  if (platform::unlink_memory(name, f)) detail::remove_companion_if_over(name);
}

void shared_memory::unlink(std::string_view name) {
  detail::failure f;
  unlink(name, f);
  if (f) f.raise();
}

void shared_memory::unlink(std::string_view name, error_code& ec) {
  detail::failure f;
  unlink(name, f);
  ec = detail::to_net(f.code);
}

}  // namespace belfry
