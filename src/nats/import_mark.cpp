#include "import_mark.hpp"

#include <belfry/inspect.hpp>

#include <atomic>
#include <bit>
#include <string>
#include <system_error>

#include <unistd.h>

namespace belfry::detail::nats {
namespace {

constexpr std::uint64_t magic = 0x31'6b'72'61'6d'74'61'6e;  // "natmark1"
constexpr std::size_t copy_words = 16;                      // a copy and its version, on cache lines of its own
constexpr std::size_t block_bytes = 4096;

std::uint64_t load(std::uint64_t& word, std::memory_order order) noexcept { return std::atomic_ref(word).load(order); }
void store(std::uint64_t& word, std::uint64_t value, std::memory_order order) noexcept {
  std::atomic_ref(word).store(value, order);
}

/// A block of another user is refused, since that user could make the bridge pass over values; unless the mode lets others
/// write.
void check_owner(const std::string& name, unsigned mode) {
  const std::uint64_t owner = inspect(name).owner;
  if (owner == ::geteuid() || owner == 0 || (mode & 022) != 0) return;
  throw std::system_error(std::make_error_code(std::errc::permission_denied),
                          '"' + name + "\" belongs to user " + std::to_string(owner));
}

}  // namespace

import_mark::import_mark(const std::string& channel, unsigned mode) {
  const std::string name = channel + ".nats";
  error_code ec;
  block_ = shared_memory::create(name, block_bytes, mode, ec);
  if (ec) {
    block_ = shared_memory::open(name);
    check_owner(name, mode);
  }
  if (block_.size() < block_bytes) throw std::system_error(make_error_code(errc::incompatible), '"' + name + "\" is no mark of a bridge");
  auto* const first = reinterpret_cast<std::uint64_t*>(block_.buf().data());
  if (load(*first, std::memory_order_acquire) != magic) {
    for (std::size_t i = 0; i != block_.size() / 8; ++i)
      if (first[i] != 0) throw std::system_error(make_error_code(errc::incompatible), '"' + name + "\" is no mark of a bridge");
    store(*first, magic, std::memory_order_release);
  }
  for (const std::uint64_t which : {0, 1}) {
    std::uint64_t* const from = copy(which);
    const std::uint64_t version = load(from[words], std::memory_order_acquire);
    if (version % 2 != which || version <= version_) continue;
    version_ = version;
    std::array<std::uint64_t, words> image;
    for (std::size_t i = 0; i != words; ++i) image[i] = load(from[i], std::memory_order_relaxed);
    mark_ = std::bit_cast<received_mark>(image);
  }
}

std::uint64_t* import_mark::copy(std::uint64_t version) noexcept {
  return reinterpret_cast<std::uint64_t*>(block_.buf().data()) + copy_words * (1 + version % 2);
}

// There is one process that writes: it is the producer of the channel. A killed one leaves the version before, whose copy
// it has not touched.
void import_mark::set(const received_mark& m) noexcept {
  mark_ = m;
  std::uint64_t* const to = copy(++version_);
  const auto image = std::bit_cast<std::array<std::uint64_t, words>>(m);
  for (std::size_t i = 0; i != words; ++i) store(to[i], image[i], std::memory_order_relaxed);
  store(to[words], version_, std::memory_order_release);  // pairs with the acquire in the constructor
}

void import_mark::remove() noexcept {
  error_code ignored;
  block_.unlink(ignored);
}

}  // namespace belfry::detail::nats
