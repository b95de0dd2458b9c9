// A peer that writes anything into the shared memory, at the worst moments.
#pragma once

#include "segment_file.hpp"
#include "traffic.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <random>

namespace belfry::test {

/// A channel with both endpoints in this process, and a second mapping of its segment.
template <class Channel>
class attacked {
 public:
  using producer = typename Channel::producer;
  using consumer = typename Channel::consumer;

  attacked(std::string name, bool named, const channel_options& o)
      : name_(std::move(name)), named_(named), options_(o) {
    rebuild();
  }
  ~attacked() { tear_down(); }

  /// Makes everything again.
  void rebuild() {
    tear_down();
    io_ = std::make_unique<net::io_context>();
    if (!named_) handles_ = Channel::make_handles(options_);
    tx_ = open<producer>();
    rx_ = open<consumer>();
    EXPECT(tx_->is_open() && rx_->is_open());
    look();
  }
  /// Makes an endpoint again, on whatever is in the segment; false if that is refused.
  bool reopen(bool the_producer) {
    if (the_producer) {
      tx_.reset();
      tx_ = open<producer>();
    } else {
      rx_.reset();
      rx_ = open<consumer>();
    }
    if (!tx_->is_open() || !rx_->is_open()) return false;
    look();  // an endpoint that seemed to be alone has removed the segment, and this is another one
    return true;
  }

  template <class Endpoint>
  std::unique_ptr<Endpoint> open() {
    error_code ec;
    return named_ ? std::make_unique<Endpoint>(*io_, name_, options_, ec)
                  : std::make_unique<Endpoint>(*io_, handles_, options_, ec);
  }

  producer& tx() noexcept { return *tx_; }
  consumer& rx() noexcept { return *rx_; }
  net::io_context& io() noexcept { return *io_; }
  segment_file& view() noexcept { return *view_; }

  /// Lets pending operations do what they can, then ends them.
  void run_and_cancel() {
    io_->restart();
    io_->poll();
    tx_->cancel();
    rx_->cancel();
    io_->restart();
    io_->poll();
  }

 private:
  void look() {
    view_.reset();
    view_ = named_ ? std::make_unique<segment_file>(name_)
                   : std::make_unique<segment_file>(::dup(detail::handles_of(handles_).block.get()));
  }
  void tear_down() {
    rx_.reset();
    tx_.reset();
    if (io_) io_->poll();
    io_.reset();
    view_.reset();
    // The endpoints may not have cleaned up, because of the forged bytes.
    ::unlink(path_of(name_).c_str());
    for (std::size_t i = 0; i != layout::max_participants; ++i)
      ::unlink(path_of(detail::bell_name(name_, i)).c_str());
  }

  std::string name_;
  bool named_;
  channel_options options_;
  channel_handles handles_;
  std::unique_ptr<net::io_context> io_;
  std::unique_ptr<producer> tx_;
  std::unique_ptr<consumer> rx_;
  std::unique_ptr<segment_file> view_;
};

/// A forger's values: nearly right, on a boundary, absurd, or random.
template <class Random>
std::uint64_t forged(Random& random, std::uint64_t right, std::uint64_t capacity) {
  switch (random() % 16) {
    case 0: return 0;
    case 1: return ~std::uint64_t{0};
    case 2: return right + 1;
    case 3: return right - 1;
    case 4: return right + 8;
    case 5: return right - 8;
    case 6: return right + capacity;
    case 7: return right - capacity;
    case 8: return right + capacity + 8;
    case 9: return capacity - 8 + random() % 3 * 8;
    case 10: return std::uint64_t{1} << random() % 64;
    case 11: return (std::uint64_t{1} << random() % 64) - 1;
    case 12: return right + random() % (2 * capacity) / 8 * 8;
    case 13: return right - random() % (2 * capacity) / 8 * 8;
    case 14: return random() % capacity;
    default: return std::uint64_t{random()} << 32 | random();
  }
}

/// Overwrites an integer of any size.
template <class Random>
void scribble_at(Random& random, std::byte* at, std::size_t bytes, std::uint64_t capacity) {
  std::uint64_t right = 0;
  std::memcpy(&right, at, bytes);
  const std::uint64_t wrong = forged(random, right, capacity);
  std::memcpy(at, &wrong, bytes);
}

/// Overwrites a field of the header, or of the roster: the first producer's or the first consumer's.
template <class Random>
void scribble_over_header(Random& random, segment_file& file, std::uint64_t capacity,
                          std::size_t producers = 1) {
  using layout::participant_slot;
  std::byte* const header = file.data();
  std::byte* const slot = header + sizeof(layout::control_header) +
      random() % 2 * producers * sizeof(participant_slot);
  struct {
    std::byte* at;
    std::size_t bytes;
  } const targets[] = {
      {slot + offsetof(participant_slot, control) + 7, 1},  // state
      {slot + offsetof(participant_slot, control) + 6, 1},  // end
      {slot + offsetof(participant_slot, control) + 4, 2},  // deaths
      {slot + offsetof(participant_slot, control), 4},      // generation
      {slot + offsetof(participant_slot, control), 8},
      {slot + offsetof(participant_slot, pid), 4},
      {slot + offsetof(participant_slot, bell), 8},
      {slot + offsetof(participant_slot, parks), 8},
      {slot + offsetof(participant_slot, rings), 8},
      {slot + offsetof(participant_slot, count) + random() % 3 * 8, 8},
      {slot + offsetof(participant_slot, park), 8},
      {slot + offsetof(participant_slot, park), 1},
      {slot + random() % sizeof(participant_slot) / 8 * 8, 8},
      {header + offsetof(layout::control_header, parked) + random() % 512, 1},
      {header + offsetof(layout::control_header, parked) + random() % 64 * 8, 8},
      {header + offsetof(layout::control_header, count) + random() % 3 * 8, 8},
      {header + random() % sizeof(layout::identity), 1},
      {header + random() % (sizeof(layout::identity) / 8) * 8, 8},
  };
  // Rarely fields that are only compared when joining: they only make joining fail.
  const std::size_t count = std::size(targets) - (random() % 8 == 0 ? 0 : 2);
  const auto& target = targets[random() % count];
  scribble_at(random, target.at, target.bytes, capacity);
}

struct attack_progress {
  std::atomic<std::uint64_t> cases{0};
  std::atomic<unsigned> seed{0};
};

/// So many cases, or a million; in two processes at a time, by name and by handles.
template <class Attack>
void attack(std::uint64_t cases) {
  const watchdog dog(std::chrono::seconds(1500));
  if (all_rounds()) cases = 1'000'000;
  const std::string name = unique_name("hostile");
  const nothing_left check(name);
  const shared<std::array<attack_progress, 2>> all;
  std::vector<child> children;
  for (const bool named : {true, false}) {
    children.emplace_back([&, named] {
      attack_progress& p = (*all)[named];
      for (unsigned seed = random_seed(); p.cases < cases / 2; ++seed) {
        p.seed = seed;
        Attack a(name + std::to_string(named), named, seed);
        for (int i = 0; i != 1000; ++i, ++p.cases) a.one();
      }
    });
  }
  for (std::size_t i = 0; i != 2; ++i) {
    const int status = children[1 - i].wait();
    INFO("seed " << (*all)[i].seed << " after case " << (*all)[i].cases);
    CHECK(status == 0);
  }
}

}  // namespace belfry::test
