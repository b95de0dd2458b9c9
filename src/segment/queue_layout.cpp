// The layout of Boost's queue is found by observing queues.
#include <belfry/detail/layout/queue_layout.hpp>

#include <array>
#include <bit>
#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace belfry::detail {
namespace {

template <std::size_t Align, std::size_t Count>
struct alignas(Align) cells {
  std::array<std::byte, Align * Count> bytes;
};

/// Makes a queue, pushes and pops, and observes which words outside the places change. An index is the only
/// word that changes in a step, from the number of one place to that of the next.
template <class T, std::size_t N>
class observed_queue {
 public:
  observed_queue() {
    std::memset(memory_.get(), 0xa5, sizeof(queue));  // so that a word is 0 only if the constructor has made it so
    asked_ = new (memory_.get()) queue;
  }
  observed_queue(const observed_queue&) = delete;
  observed_queue& operator=(const observed_queue&) = delete;
  ~observed_queue() { asked_->~queue(); }

  queue_layout layout() {
    asked_->push(T());
    queue_layout found{.values = front(), .align = alignof(queue)};
    asked_->pop();
    places_ = {found.values, found.values + places * sizeof(T)};
    for (std::size_t round = 1; round != rounds; ++round) {
      const std::size_t written = changed(round, [&] { asked_->push(T()); });
      const bool in_place = front() == found.values + round % places * sizeof(T);
      const std::size_t read = changed(round, [&] { asked_->pop(); });
      const bool same = round == 1 || (written == found.written && read == found.read);
      if (!in_place || !same || written == none || read == none || written == read) return {};
      found.written = written;
      found.read = read;
    }
    found.known = found.bytes(places * sizeof(T)) == sizeof(queue);
    return found;
  }

 private:
  using queue = boost::lockfree::spsc_queue<T, boost::lockfree::capacity<N>>;
  using word = std::size_t;
  static constexpr std::size_t places = N + 1;
  static constexpr std::size_t rounds = 2 * places + 1;
  static constexpr std::size_t none = sizeof(queue);

  struct aligned_delete {
    void operator()(std::byte* memory) const noexcept { ::operator delete(memory, std::align_val_t(alignof(queue))); }
  };

  const std::byte* begin() const { return memory_.get(); }
  std::size_t front() const {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&asked_->front()) - begin());
  }
  /// The words that do not overlap a place, with their offsets.
  std::vector<std::pair<std::size_t, word>> words() const {
    std::vector<std::pair<std::size_t, word>> all;
    for (std::size_t at = 0; at + sizeof(word) <= sizeof(queue); at += sizeof(word)) {
      if (at + sizeof(word) > places_.first && at < places_.second) continue;
      word content = 0;
      std::memcpy(&content, begin() + at, sizeof content);
      all.emplace_back(at, content);
    }
    return all;
  }
  template <class Step>
  std::size_t changed(std::size_t round, Step step) const {
    const auto before = words();
    step();
    const auto after = words();
    std::size_t where = none;
    for (std::size_t i = 0; i != after.size(); ++i) {
      if (before[i] == after[i]) continue;
      const bool next = before[i].second == round % places && after[i].second == (round + 1) % places;
      if (!next || where != none) return none;
      where = after[i].first;
    }
    return where;
  }

  std::unique_ptr<std::byte, aligned_delete> memory_{
      static_cast<std::byte*>(::operator new(sizeof(queue), std::align_val_t(alignof(queue))))};
  queue* asked_;
  std::pair<std::size_t, std::size_t> places_;
};

/// Of values of several sizes, in several numbers: one layout, or none. (How an index wraps after the last place may
/// differ where the number of places is a power of two.)
template <std::size_t Align>
queue_layout observe() {
  const queue_layout found = observed_queue<cells<Align, 1>, 2>().layout();
  const bool same = found == observed_queue<cells<Align, 1>, 3>().layout() &&
                    found == observed_queue<cells<Align, 3>, 4>().layout();
  return same ? found : queue_layout{};
}

template <std::size_t... Powers>
auto observe_all(std::index_sequence<Powers...>) {
  return std::array{observe<std::size_t{1} << Powers>()...};
}

}  // namespace

const queue_layout& layout_of_queue(std::size_t value_align) {
  static const auto found = observe_all(std::make_index_sequence<std::bit_width(max_queue_align)>());
  return found.at(static_cast<std::size_t>(std::countr_zero(value_align)));
}

}  // namespace belfry::detail
