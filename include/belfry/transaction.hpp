// Exclusive write access to a block, among processes.
#pragma once

#include <belfry/shareable.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace belfry {
namespace detail {

/// The holder of the lock behind a transaction.
class transaction_owner {
 public:
  virtual void end_transaction() noexcept = 0;

 protected:
  ~transaction_owner() = default;
};

/// The elements of type T that a range of shared memory has room for.
template <class T, class Byte>
std::span<T> typed(std::span<Byte> bytes) {
  static_assert(std::is_trivially_copyable_v<T>, "shared with other processes as its bytes");
  static_assert(shareable<T>,
                "T holds an address, which means nothing elsewhere: see belfry::shareable");
  if (bytes.size() < sizeof(T)) throw std::length_error("the block is smaller than one element");
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) != 0) {
    throw std::invalid_argument("the memory is not aligned for this type");
  }
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

}  // namespace detail

/// Exclusive access to a block, from construction to destruction; then all watchers of the block are notified
/// of a change.
///
///     {
///       auto t = a.txn();                         // a shared_memory; waits for earlier holders
///       t.as<int>()[0] += 1;
///       t[7] = 42;
///     }                                           // visible, unlocked, notified
///
/// If the process is killed meanwhile, the next process that gets a transaction is told that the data may be
/// half-written: `owner_died()`. Only this one is told; it must repair the data.
///
/// Excludes other transactions, in this and in other processes, and nothing else: a process that writes
/// without a transaction is not stopped. Movable, not copyable, not thread-safe; must not outlive a fork.
class [[nodiscard]] transaction {
 public:
  transaction() noexcept = default;
  transaction(std::shared_ptr<detail::transaction_owner> owner, std::span<std::byte> bytes,
              bool owner_died) noexcept
      : owner_(std::move(owner)), bytes_(bytes), owner_died_(owner_died) {}
  transaction(transaction&& other) noexcept
      : owner_(std::move(other.owner_)),
        bytes_(std::exchange(other.bytes_, {})),
        owner_died_(std::exchange(other.owner_died_, false)) {}
  transaction& operator=(transaction&& other) noexcept {
    if (this != &other) {
      end();
      owner_ = std::move(other.owner_);
      bytes_ = std::exchange(other.bytes_, {});
      owner_died_ = std::exchange(other.owner_died_, false);
    }
    return *this;
  }
  ~transaction() { end(); }

  /// Whether the transaction is held.
  explicit operator bool() const noexcept { return owner_ != nullptr; }
  /// The previous holder was killed, and may have left the data half-written.
  bool owner_died() const noexcept { return owner_died_; }

  /// A byte of the block. Throws std::out_of_range beyond its end, and after end().
  unsigned char& operator[](std::size_t i) const {
    if (i >= bytes_.size()) throw std::out_of_range("no such byte, or no transaction");
    return reinterpret_cast<unsigned char*>(bytes_.data())[i];
  }
  std::span<std::byte> bytes() const noexcept { return bytes_; }
  /// As many elements as the block has room for. Throws std::length_error if that is none.
  template <class T>
  std::span<T> as() const {
    return detail::typed<T>(bytes_);
  }

  /// Notifies and unlocks now, instead of in the destructor.
  void end() noexcept {
    bytes_ = {};
    if (const auto owner = std::exchange(owner_, nullptr)) owner->end_transaction();
  }

 private:
  std::shared_ptr<detail::transaction_owner> owner_;
  std::span<std::byte> bytes_;
  bool owner_died_ = false;
};

}  // namespace belfry
