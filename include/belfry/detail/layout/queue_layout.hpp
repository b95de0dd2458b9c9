// Where Boost's queue keeps its indices and values: found by observing it.
#pragma once

#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

namespace belfry::detail {

template <class T, std::size_t N>
using boost_queue = boost::lockfree::spsc_queue<T, boost::lockfree::capacity<N>>;

/// Offsets into a `boost_queue`. Its members are private to Boost, and their order differs between versions.
struct queue_layout {
  std::size_t written = 0;  // the index of the place that is written next
  std::size_t read = 0;     // the index of the place that is read next
  std::size_t values = 0;   // the places: one more than the queue can hold
  bool known = false;       // false: spsc_ring cannot tell how this queue keeps its indices
};

/// Makes a queue, pushes and pops, and observes which words outside the places change. An index is the only
/// word that changes in a step, from the number of one place to that of the next.
template <class T, std::size_t N>
queue_layout ask_queue() {
  using queue = boost_queue<T, N>;
  using word = std::size_t;
  constexpr std::size_t places = N + 1;
  constexpr std::size_t rounds = places < 4 ? 2 * places : 8;
  constexpr std::size_t none = sizeof(queue);

  const auto asked = std::make_unique<queue>();
  const auto* const begin = reinterpret_cast<const std::byte*>(asked.get());
  const auto front = [&] {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&asked->front()) - begin);
  };
  const T value{};
  asked->push(value);
  queue_layout found{.values = front()};
  asked->pop();

  const std::size_t end = found.values + places * sizeof(T);
  const auto words = [&] {
    std::vector<word> all;
    for (std::size_t at = 0; at + sizeof(word) <= sizeof(queue); at += sizeof(word)) {
      word content = 0;
      if (at + sizeof(word) > found.values && at < end) {
        at = (end - 1) / sizeof(word) * sizeof(word);  // the last word that overlaps a place
      } else {
        std::memcpy(&content, begin + at, sizeof content);
      }
      all.push_back(at);
      all.push_back(content);
    }
    return all;
  };
  const auto changed = [&](std::size_t round, auto step) {
    const std::vector<word> before = words();
    step();
    const std::vector<word> after = words();
    std::size_t where = none;
    for (std::size_t i = 1; i < after.size(); i += 2) {
      if (before[i] == after[i]) continue;
      const bool next = before[i] == round % places && after[i] == (round + 1) % places;
      if (!next || where != none) return none;
      where = after[i - 1];
    }
    return where;
  };

  for (std::size_t round = 1; round != rounds; ++round) {
    const std::size_t written = changed(round, [&] { asked->push(value); });
    const bool in_place = front() == found.values + round % places * sizeof(T);
    const std::size_t read = changed(round, [&] { asked->pop(); });
    const bool same = round == 1 || (written == found.written && read == found.read);
    if (!in_place || !same || written == none || read == none || written == read) return {};
    found.written = written;
    found.read = read;
  }
  found.known = true;
  return found;
}

/// Observed once for every queue type of the program.
template <class T, std::size_t N>
const queue_layout& layout_of_queue() {
  static const queue_layout found = [] {
    // How an index wraps after the last place is observed in small queues. It may differ where the number of
    // places is a power of two, so both are tried.
    const bool begin_anew = ask_queue<std::size_t, 2>().known && ask_queue<std::size_t, 3>().known;
    return begin_anew ? ask_queue<T, N>() : queue_layout{};
  }();
  return found;
}

}  // namespace belfry::detail
