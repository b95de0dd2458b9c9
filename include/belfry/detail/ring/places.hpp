// Where the values of a ring are, and how they are copied: known to the compiler, or told by the segment. The algorithms
// beside this file are written once, for both.
#pragma once

#include <belfry/detail/layout/atomic_words.hpp>
#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/layout/prefetch.hpp>
#include <belfry/detail/ring/kept.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace belfry::detail {

/// A place with a word before its value.
template <class T>
struct worded_place {
  std::atomic<std::uint64_t> word;
  atomic_words<T> value;
};

/// To load a value in two steps: it is unchanged until it is known that the words belong together. A large value is loaded
/// to where it belongs, because there is no room for it on the stack: what is there counts only after unpack().
template <class T>
struct loaded_image {
  using words = atomic_words<T>;
  struct nothing {};
  using type = std::conditional_t<is_large<T>, nothing, typename words::image>;

  static type load(const words& from, T& value) noexcept {
    if constexpr (is_large<T>) {
      from.load(value);
      return {};
    } else {
      return from.load();
    }
  }
  static void unpack([[maybe_unused]] const type& image, [[maybe_unused]] T& value) noexcept {
    if constexpr (!is_large<T>) words::unpack(image, value);
  }
};

/// Places of a ring whose type is known. `Place`: what lies side by side in the ring.
template <class T, std::uint64_t N, class Place>
class typed_places_of {
 public:
  using sendable = T;
  using received = T;
  /// The segment has just these places: nothing has to be checked.
  static constexpr bool checked = false;
  /// Values are copied, and have one size.
  static constexpr bool in_place = false;

  typed_places_of(const ring_memory& memory, std::uint64_t first) noexcept
      : places_(std::launder(reinterpret_cast<Place*>(memory.at + first))) {}

  static constexpr std::uint64_t count() noexcept { return N; }

 protected:
  Place& at(std::uint64_t index) const noexcept { return places_[index]; }

 private:
  Place* places_;
};

/// Places with a word and a value that may be read while it is written.
template <class T, std::uint64_t N>
class typed_places : public typed_places_of<T, N, worded_place<T>> {
  using base = typed_places_of<T, N, worded_place<T>>;

 public:
  using place = worded_place<T>;
  using base::base;

  /// Constructs all places in raw memory.
  void construct() const noexcept {
    for (std::uint64_t i = 0; i != N; ++i) new (&this->at(i)) place{};
  }
  std::atomic<std::uint64_t>& word(std::uint64_t index) const noexcept { return this->at(index).word; }
  void store(std::uint64_t index, const T& value) const noexcept { this->at(index).value.store(value); }
  void load(std::uint64_t index, T& value) const noexcept { this->at(index).value.load(value); }

  /// A consumer of work copies the value before it owns the place: it is short.
  static constexpr bool copies_first = sizeof(place) <= 4 * layout::cache_line;

  /// See loaded_image.
  auto image(std::uint64_t index, T& value) const noexcept { return loaded_image<T>::load(this->at(index).value, value); }
  static void unpack(const typename loaded_image<T>::type& image, T& value) noexcept {
    loaded_image<T>::unpack(image, value);
  }

  void prefetch(std::uint64_t index) const noexcept {
    const place& next = this->at(index);
    prefetch_for_write(&next.word);
    if constexpr (sizeof(place) > layout::cache_line)
      prefetch_for_write(reinterpret_cast<const char*>(&next) + layout::cache_line);
  }
};

/// Places without a word, with values that may be read while they are written.
template <class T, std::uint64_t N>
class typed_values : public typed_places_of<T, N, atomic_words<T>> {
  using base = typed_places_of<T, N, atomic_words<T>>;
  using words = atomic_words<T>;

 public:
  using base::base;

  void construct() const noexcept {
    for (std::uint64_t i = 0; i != N; ++i) new (&this->at(i)) words{};
  }
  void store(std::uint64_t index, const T& value) const noexcept { this->at(index).store(value); }
  auto image(std::uint64_t index, T& value) const noexcept { return loaded_image<T>::load(this->at(index), value); }
  static void unpack(const typename loaded_image<T>::type& image, T& value) noexcept {
    loaded_image<T>::unpack(image, value);
  }
};

/// Places with nothing but a value, which only one side uses at a time.
template <class T, std::uint64_t N>
class typed_objects : public typed_places_of<T, N, T> {
  using base = typed_places_of<T, N, T>;

 public:
  using base::base;

  void put(std::uint64_t index, const T& value) const noexcept { new (&this->at(index)) T(value); }
  void put_n(std::uint64_t index, std::span<const T> values) const noexcept {
    std::uninitialized_copy_n(values.data(), values.size(), &this->at(index));
  }
  void get(std::uint64_t index, T& value) const noexcept { value = this->at(index); }
  void get_n(std::uint64_t index, std::span<T> values) const noexcept {
    std::copy_n(&this->at(index), values.size(), values.data());
  }
  /// For a consumer that polls: fetches the value's cache line while the index is still on its way.
  void prefetch(std::uint64_t index) const noexcept { __builtin_prefetch(&this->at(index)); }
};

/// Places of a ring whose type is not known. They are where the segment says; a process may have written that, so
/// places_fit() must have been true when the segment was joined. Values are bytes, always as many as a value has.
class byte_places {
 public:
  using sendable = std::span<const std::byte>;
  /// Room for a value; then the value.
  using received = std::span<std::byte>;
  static constexpr bool checked = true;
  static constexpr bool in_place = false;

  explicit byte_places(const ring_memory& memory, std::uint64_t = 0) noexcept
      : first_(memory.at + memory.places.first),
        count_(memory.places.places),
        stride_(memory.places.stride),
        value_(memory.places.value),
        bytes_(memory.value_bytes),
        written_(memory.at + memory.places.written),
        read_(memory.at + memory.places.read) {}

  std::uint64_t count() const noexcept { return count_; }

  std::atomic<std::uint64_t>& word(std::uint64_t index) const noexcept {
    return *std::launder(reinterpret_cast<std::atomic<std::uint64_t>*>(first_ + index * stride_));
  }
  void store(std::uint64_t index, sendable value) const noexcept {
    for (std::size_t i = 0; i < bytes_; i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, value.data() + i, std::min<std::size_t>(bytes_ - i, 8));
      word_of_value(index, i).store(word, std::memory_order_relaxed);
    }
  }
  void load(std::uint64_t index, received& value) const noexcept {
    for (std::size_t i = 0; i < bytes_; i += 8) {
      const std::uint64_t word = word_of_value(index, i).load(std::memory_order_relaxed);
      std::memcpy(value.data() + i, &word, std::min<std::size_t>(bytes_ - i, 8));
    }
    value = value.first(bytes_);
  }

  static constexpr bool copies_first = false;

  /// The bytes are loaded to where they belong: what is there counts only after unpack().
  struct loaded {
    received value;
  };
  loaded image(std::uint64_t index, received value) const noexcept {
    load(index, value);
    return {value};
  }
  static void unpack(const loaded& image, received& value) noexcept { value = image.value; }

  /// The indices of an spsc_ring.
  std::byte* written() const noexcept { return written_; }
  std::byte* read() const noexcept { return read_; }
  void put(std::uint64_t index, sendable value) const noexcept { std::memcpy(at(index), value.data(), bytes_); }
  void put_n(std::uint64_t index, std::span<const sendable> values) const noexcept {
    for (const sendable& value : values) put(index++, value);
  }
  void get(std::uint64_t index, received& value) const noexcept {
    std::memcpy(value.data(), at(index), bytes_);
    value = value.first(bytes_);
  }
  void get_n(std::uint64_t index, std::span<received> values) const noexcept {
    for (received& value : values) get(index++, value);
  }

  void prefetch(std::uint64_t) const noexcept {}

 private:
  std::byte* at(std::uint64_t index) const noexcept { return first_ + index * stride_ + value_; }
  std::atomic<std::uint64_t>& word_of_value(std::uint64_t index, std::size_t offset) const noexcept {
    return *std::launder(reinterpret_cast<std::atomic<std::uint64_t>*>(at(index) + offset));
  }

  std::byte* first_;
  std::uint64_t count_;
  std::uint64_t stride_;
  std::uint64_t value_;
  std::size_t bytes_;
  std::byte* written_;
  std::byte* read_;
};

/// Places of messages, which are written and read where they lie. The header of a place is a message_header, or begins
/// with one.
class message_places {
 public:
  using sendable = std::span<const std::byte>;
  /// In place. Null if the size in the place is impossible: another process has written it.
  using received = std::span<const std::byte>;
  static constexpr bool checked = true;
  static constexpr bool in_place = true;
  static constexpr bool copies_first = false;

  explicit message_places(const ring_memory& memory, std::uint64_t = 0) noexcept
      : first_(memory.at + memory.places.first),
        count_(memory.places.places),
        stride_(memory.places.stride),
        value_(memory.places.value),
        largest_(memory.message_bytes) {}

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t largest() const noexcept { return largest_; }

  void construct() const noexcept {
    for (std::uint64_t i = 0; i != count_; ++i) new (at(i)) layout::message_header{};
  }
  std::byte* at(std::uint64_t index) const noexcept { return first_ + index * stride_; }
  layout::message_header& header(std::uint64_t index) const noexcept {
    return *std::launder(reinterpret_cast<layout::message_header*>(at(index)));
  }
  std::atomic<std::uint64_t>& word(std::uint64_t index) const noexcept { return header(index).word; }

  /// To write in place: all the room; then the size of what was written.
  std::span<std::byte> room(std::uint64_t index) const noexcept {
    return {at(index) + value_, static_cast<std::size_t>(largest_)};
  }
  void set_size(std::uint64_t index, std::uint64_t bytes) const noexcept {
    header(index).bytes.store(bytes, std::memory_order_relaxed);
  }
  void store(std::uint64_t index, sendable message) const noexcept {
    if (!message.empty()) std::memcpy(at(index) + value_, message.data(), message.size());
    set_size(index, message.size());
  }
  /// The size is read once: another process may change it.
  void load(std::uint64_t index, received& message) const noexcept {
    const std::uint64_t bytes = header(index).bytes.load(std::memory_order_relaxed);
    message = bytes <= largest_ ? received(room(index)).first(static_cast<std::size_t>(bytes)) : received();
  }

  void prefetch(std::uint64_t index) const noexcept { prefetch_for_write(at(index)); }

 private:
  std::byte* first_;
  std::uint64_t count_;
  std::uint64_t stride_;
  std::uint64_t value_;
  std::uint64_t largest_;
};

/// Whether such places lie in a ring of so many bytes, behind its first `control` bytes. `atomic`: values are in whole
/// words, each behind a word if `worded`.
constexpr bool places_fit(const layout::geometry& g, std::uint64_t ring_bytes, std::uint64_t control,
                          std::uint64_t value_bytes, bool atomic, bool worded) noexcept {
  if (g.places == 0 || g.first < control || g.first > ring_bytes) return false;
  if (g.stride == 0 || g.places > (ring_bytes - g.first) / g.stride) return false;
  if (value_bytes == 0 || value_bytes > g.stride) return false;
  const std::uint64_t room = atomic ? (value_bytes + 7) / 8 * 8 : value_bytes;
  if (room > g.stride || g.value > g.stride - room) return false;
  return !atomic || (g.first % 8 == 0 && g.stride % 8 == 0 && g.value % 8 == 0 && (!worded || g.value >= 8));
}

/// Whether an index lies in such a ring.
constexpr bool index_fits(std::uint64_t offset, std::uint64_t ring_bytes) noexcept {
  return offset % 8 == 0 && ring_bytes >= 8 && offset <= ring_bytes - 8;
}

}  // namespace belfry::detail
