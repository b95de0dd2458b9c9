// The places of a call_ring, without endpoints: each change of a word, what the dead leave, and forged words.
#include "support/raw_ring.hpp"

#include <belfry/ring/byte_call_ring.hpp>
#include <belfry/ring/call_ring.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;
using detail::call_end;
using detail::call_progress;
using detail::call_ticket;
using layout::call_state;
using layout::call_word;

namespace {

/// Among pages that cannot be accessed.
template <class Ring>
struct raw_calls {
  explicit raw_calls(std::uint64_t slots = 0, std::uint64_t message_bytes = 0) {
    memory.capacity = Ring::traits.capacity(slots);
    memory.participants = Ring::traits.seats_for(64).all();
    memory.message_bytes = Ring::traits.message_bytes(message_bytes);
    const ring_layout shape = Ring::traits.layout(
        {.capacity = memory.capacity, .message_bytes = memory.message_bytes, .participants = memory.participants});
    memory.places = shape.places;
    memory.bytes = shape.bytes;
    memory_.emplace(shape.bytes);
    memory.at = memory_->end() - (shape.bytes + 63) / 64 * 64;
    Ring::traits.construct(memory);
  }
  raw_calls(const raw_calls&) = delete;
  raw_calls& operator=(const raw_calls&) = delete;

  static constexpr std::size_t first_server = 32;
  typename Ring::client client(std::size_t slot = 0) const { return typename Ring::client(memory, slot); }
  typename Ring::server server(std::size_t slot = first_server) const { return typename Ring::server(memory, slot); }
  void recover(std::size_t slot) const { Ring::traits.recover(memory, slot); }

  std::atomic<std::uint64_t>& word_bits(std::size_t i) const {
    return reinterpret_cast<layout::call_place*>(memory.at + memory.places.first + i * memory.places.stride)->word;
  }
  call_word word(std::size_t i) const { return call_word::from(word_bits(i).load()); }
  call_state state(std::size_t i) const { return word(i).state; }
  layout::call_control& control() const { return *reinterpret_cast<layout::call_control*>(memory.at); }

  ring_memory memory;

 private:
  std::optional<guarded_memory> memory_;
};

struct raw_question {
  std::uint64_t n = 0;
};
struct raw_answer {
  std::uint64_t n = 0;
  std::uint64_t check = 0;
};
template <std::size_t N>
using ring_of = call_ring<raw_question, raw_answer, N>;
using access_to = detail::call_access<raw_question, raw_answer>;

/// A call that is ready.
template <class Client>
call_ticket call_with(Client& c, std::uint64_t n, bool again = false, std::uint64_t deadline = 0) {
  call_ticket t;
  REQUIRE(c.claim(t) == attempt::done);
  access_to::store_request(c.place(t.index), {n});
  c.place(t.index).deadline.store(deadline);
  REQUIRE(c.submit(t, again) == attempt::done);
  return t;
}
template <class Server>
std::optional<call_ticket> taken_by(Server& s) {
  call_ticket t;
  std::uint64_t deadline = 0;
  const attempt a = s.take(t, deadline);
  if (a == attempt::would_block) return {};
  REQUIRE(a == attempt::done);
  return t;
}
template <class Server>
std::uint64_t number_of(Server& s, const call_ticket& t) {
  raw_question q;
  access_to::load_request(s.place(t.index), q);
  return q.n;
}
template <class Server>
bool reply(Server& s, const call_ticket& t, std::uint64_t n) {
  access_to::store_reply(s.place(t.index), {n, ~n});
  return s.answer(t, call_state::answered);
}

}  // namespace

TEST_CASE("a call_word keeps its fields apart", "[call_ring]") {
  const call_word w{0x8'1234'5678, 250, 127, 255, true, call_state::lost};
  CHECK(call_word::from(w.bits()).bits() == w.bits());
  const call_word back = call_word::from(w.bits());
  CHECK(back.generation == w.generation);
  CHECK(back.client == 250);
  CHECK(back.server == 127);
  CHECK(back.deliveries == 255);
  CHECK(back.again);
  CHECK(back.state == call_state::lost);
  CHECK(w.taken_by(3).deliveries == 255);
  CHECK(call_word{1, 2, 0, 0, false, call_state::ready}.taken_by(3).deliveries == 1);
}

TEST_CASE("a call goes from client to server and back in one place", "[call_ring]") {
  const raw_calls<ring_of<4>> r;
  auto c = r.client(5);
  auto s = r.server(40);
  CHECK_FALSE(s.readable());
  call_ticket t;
  REQUIRE(c.claim(t) == attempt::done);
  CHECK(r.state(t.index) == call_state::writing);
  CHECK(r.word(t.index).client == 6);
  CHECK_FALSE(s.readable());
  access_to::store_request(c.place(t.index), {7});
  REQUIRE(c.submit(t, false) == attempt::done);
  CHECK(c.look_at(t) == call_progress::waiting);
  CHECK(s.readable());

  const auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK(taken->index == t.index);
  CHECK(taken->word.deliveries == 1);
  CHECK(r.word(t.index).server == 41);
  CHECK(number_of(s, *taken) == 7);
  CHECK(c.look_at(t) == call_progress::taken);
  CHECK_FALSE(s.readable());

  CHECK(reply(s, *taken, 70));
  CHECK(c.look_at(t) == call_progress::answered);
  raw_answer a;
  access_to::load_reply(c.place(t.index), a);
  CHECK(a.n == 70);
  CHECK(c.release(t));
  CHECK(r.state(t.index) == call_state::free);
  CHECK_FALSE(c.release(t));
  CHECK(c.look_at(t) == call_progress::corrupted);
  CHECK(c.size() == 0);
}

TEST_CASE("there are as many calls as places, whatever their state", "[call_ring]") {
  const raw_calls<ring_of<3>> r;
  auto c = r.client(0);
  auto other = r.client(1);
  auto s = r.server();
  const call_ticket first = call_with(c, 1);
  const call_ticket second = call_with(other, 2);
  call_ticket third;
  REQUIRE(c.claim(third) == attempt::done);
  call_ticket more;
  CHECK(other.claim(more) == attempt::would_block);
  CHECK_FALSE(other.has_room());
  CHECK(c.size() == 3);
  const auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK_FALSE(c.has_room());
  CHECK(reply(s, *taken, 1));
  CHECK_FALSE(c.has_room());
  CHECK(c.release(first));
  CHECK(other.has_room());
  REQUIRE(other.claim(more) == attempt::done);
  std::size_t server = 0;
  CHECK(c.withdraw(third, server) == call_end::not_started);
  CHECK(other.withdraw(second, server) == call_end::not_started);
  CHECK(other.withdraw(more, server) == call_end::not_started);
  CHECK(c.size() == 0);
}

TEST_CASE("calls are taken in the order in which they were made, past those that take long", "[call_ring]") {
  const raw_calls<ring_of<8>> r;
  auto c = r.client();
  auto s = r.server();
  std::vector<std::pair<call_ticket, call_ticket>> slow;
  std::uint64_t expected = 0;
  for (std::uint64_t n = 0; n != 99; n += 3) {
    std::array<call_ticket, 3> made;
    for (std::uint64_t i = 0; i != 3; ++i) made[i] = call_with(c, n + i);
    for (std::uint64_t i = 0; i != 3; ++i) {
      const auto t = taken_by(s);
      REQUIRE(t);
      CHECK(number_of(s, *t) == expected++);
      if (n % 33 == 3 && i == 1 && slow.size() < 4) {
        slow.emplace_back(made[i], *t);
        continue;
      }
      REQUIRE(reply(s, *t, n + i));
      REQUIRE(c.release(made[i]));
    }
  }
  CHECK(slow.size() == 3);
  for (const auto& [made, taken] : slow) {
    CHECK(reply(s, taken, 0));
    CHECK(c.release(made));
  }
}

TEST_CASE("a reply that comes too late is discarded, and frees the place", "[call_ring]") {
  const raw_calls<ring_of<1>> r;
  auto c = r.client();
  auto s = r.server(33);
  const call_ticket first = call_with(c, 1);
  const auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK_FALSE(s.is_abandoned(*taken));
  std::size_t server = 0;
  CHECK(c.withdraw(first, server) == call_end::abandoned);
  CHECK(server == 33);
  CHECK(s.is_abandoned(*taken));
  CHECK(s.abandoned() == 1);
  CHECK(r.state(0) == call_state::abandoned);
  CHECK_FALSE(c.has_room());  // the server may still write to it
  CHECK(c.withdraw(first, server) == call_end::over);
  CHECK_FALSE(reply(s, *taken, 5));
  CHECK(s.abandoned() == 0);

  SECTION("the next call of the place is another one") {
    const call_ticket second = call_with(c, 2);
    CHECK(second.word.generation == first.word.generation + 1);
    CHECK_FALSE(reply(s, *taken, 5));
    CHECK(c.look_at(second) == call_progress::waiting);
    const auto again = taken_by(s);
    REQUIRE(again);
    CHECK_FALSE(reply(s, *taken, 5));
    CHECK(s.drop(*taken) == call_state::free);
    CHECK(c.look_at(second) == call_progress::taken);
    CHECK(reply(s, *again, 2));
    CHECK(c.look_at(second) == call_progress::answered);
    CHECK(c.look_at(first) == call_progress::corrupted);
    CHECK_FALSE(c.release(first));
  }
}

TEST_CASE("a call that is withdrawn was never started, or is abandoned, or is over", "[call_ring]") {
  const raw_calls<ring_of<2>> r;
  auto c = r.client();
  auto s = r.server();
  std::size_t server = 0;
  const call_ticket waiting = call_with(c, 1);
  CHECK(c.withdraw(waiting, server) == call_end::not_started);
  CHECK_FALSE(taken_by(s));
  CHECK(c.withdraw(waiting, server) == call_end::over);

  const call_ticket again = call_with(c, 2, true);
  auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK(s.drop(*taken) == call_state::ready);
  CHECK(c.was_delivered(again));
  CHECK(c.withdraw(again, server) == call_end::given_back);  // one server had it

  const call_ticket answered = call_with(c, 3);
  taken = taken_by(s);
  REQUIRE(taken);
  REQUIRE(reply(s, *taken, 3));
  CHECK(c.withdraw(answered, server) == call_end::over);
  CHECK(c.look_at(answered) == call_progress::answered);
  CHECK(c.release(answered));
  CHECK(c.size() == 0);
}

TEST_CASE("a dropped call is lost, or goes to a server that has just looked in vain", "[call_ring]") {
  const raw_calls<ring_of<2>> r;
  auto c = r.client();
  auto s = r.server(32);
  auto other = r.server(33);
  const call_ticket once = call_with(c, 1);
  auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK_FALSE(taken_by(other));
  CHECK(s.drop(*taken) == call_state::lost);
  CHECK_FALSE(taken_by(other));
  CHECK(c.look_at(once) == call_progress::lost);
  CHECK(c.release(once));

  const call_ticket twice = call_with(c, 2, true);
  taken = taken_by(s);
  REQUIRE(taken);
  CHECK_FALSE(taken_by(other));
  CHECK_FALSE(other.readable());
  CHECK(s.drop(*taken) == call_state::ready);
  CHECK(other.readable());
  const auto second = taken_by(other);
  REQUIRE(second);
  CHECK(second->word.deliveries == 2);
  CHECK_FALSE(reply(s, *taken, 9));
  CHECK(reply(other, *second, 2));
  CHECK(c.release(twice));
}

TEST_CASE("a call that is given back is as it was, for a server that has just looked in vain", "[call_ring]") {
  const raw_calls<ring_of<2>> r;
  auto c = r.client();
  auto s = r.server(32);
  auto other = r.server(33);
  const bool again = GENERATE(false, true);
  const call_ticket t = call_with(c, 1, again);
  auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK_FALSE(taken_by(other));
  CHECK_FALSE(other.readable());
  CHECK(s.give_back(*taken) == call_state::ready);
  CHECK(c.look_at(t) == call_progress::waiting);
  CHECK_FALSE(c.was_delivered(t));
  CHECK(other.readable());
  CHECK_FALSE(reply(s, *taken, 9));
  const auto second = taken_by(other);
  REQUIRE(second);
  CHECK(second->word.deliveries == 1);
  CHECK(second->word.again == again);
  CHECK(other.give_back(*second) == call_state::ready);
  std::size_t server = 0;
  CHECK(c.withdraw(t, server) == detail::call_end::not_started);
  CHECK(r.state(t.index) == call_state::free);

  // Too late: its client has given it up.
  const call_ticket late = call_with(c, 2, again);
  taken = taken_by(s);
  REQUIRE(taken);
  CHECK(c.withdraw(late, server) == detail::call_end::abandoned);
  CHECK(s.give_back(*taken) == call_state::free);
  CHECK(r.state(late.index) == call_state::free);
}

TEST_CASE("a call that may be delivered again is lost after max_deliveries, however its servers end", "[call_ring]") {
  const std::uint32_t most = GENERATE(1u, 2u, 255u);
  const bool killed = GENERATE(false, true);
  raw_calls<ring_of<2>> r;
  r.memory.max_deliveries = most;
  auto c = r.client();
  auto s = r.server(40);
  const call_ticket poison = call_with(c, 1, true);
  const call_ticket other = call_with(c, 2, true);
  for (std::uint32_t n = 1; n <= most; ++n) {
    const auto taken = taken_by(s);
    REQUIRE(taken);
    if (number_of(s, *taken) == 2) {  // it passes by
      CHECK(reply(s, *taken, 2));
      --n;
      continue;
    }
    CHECK(taken->word.deliveries == n);
    const call_state after = n < most ? call_state::ready : call_state::lost;
    if (killed) {
      r.recover(40);
      r.recover(40);
    } else {
      CHECK(s.drop(*taken) == after);
    }
    CHECK(r.state(poison.index) == after);
    CHECK(c.look_at(poison) == (n < most ? call_progress::waiting : call_progress::lost));
  }
  if (r.state(other.index) == call_state::ready) CHECK(reply(s, *taken_by(s), 2));
  CHECK_FALSE(taken_by(s));
  CHECK(c.release(poison));
  CHECK(c.look_at(other) == call_progress::answered);
  // For one that is not delivered again, it means nothing.
  call_with(c, 3);
  const auto once = taken_by(s);
  REQUIRE(once);
  CHECK(s.drop(*once) == call_state::lost);
}

TEST_CASE("a call that is withdrawn between two deliveries may have been executed", "[call_ring]") {
  raw_calls<ring_of<2>> r;
  r.memory.max_deliveries = 2;
  auto c = r.client();
  auto s = r.server();
  const call_ticket t = call_with(c, 1, true);
  CHECK(s.drop(*taken_by(s)) == call_state::ready);
  std::size_t server = 0;
  SECTION("while no server has it") { CHECK(c.withdraw(t, server) == call_end::given_back); }
  SECTION("while the last one has it, which then frees the place") {
    const auto taken = taken_by(s);
    CHECK(c.withdraw(t, server) == call_end::abandoned);
    CHECK(s.drop(*taken) == call_state::free);
  }
  CHECK(r.state(t.index) == call_state::free);
}

TEST_CASE("a call whose deadline has passed is left to its client", "[call_ring]") {
  const raw_calls<ring_of<4>> r;
  auto c = r.client();
  auto s = r.server();
  const auto now = std::chrono::steady_clock::now();
  const call_ticket expired = call_with(c, 1, false, detail::call_time(now - std::chrono::seconds(1)));
  CHECK_FALSE(s.readable());
  CHECK_FALSE(taken_by(s));
  const auto later = now + std::chrono::hours(1);
  call_with(c, 2, false, detail::call_time(later));
  call_ticket t;
  std::uint64_t deadline = 0;
  REQUIRE(s.take(t, deadline) == attempt::done);
  CHECK(number_of(s, t) == 2);
  CHECK(detail::call_deadline(deadline) == later);
  std::size_t server = 0;
  CHECK(c.withdraw(expired, server) == call_end::not_started);
}

TEST_CASE("deadlines survive their representation", "[call_ring]") {
  using clock = std::chrono::steady_clock;
  CHECK(detail::call_time(clock::time_point::max()) == 0);
  CHECK(detail::call_deadline(0) == clock::time_point::max());
  CHECK(detail::call_deadline(~std::uint64_t{0}) == clock::time_point::max());
  CHECK(detail::call_time(clock::time_point::min()) == 1);  // long ago
  const auto now = clock::now();
  CHECK(detail::call_deadline(detail::call_time(now)) == now);
}

// ---- the dead ---------------------------------------------------------------------------------------------

TEST_CASE("what a dead client has in the ring is withdrawn, or abandoned", "[call_ring]") {
  const raw_calls<ring_of<8>> r;
  auto c = r.client(3);
  auto survivor = r.client(4);
  auto s = r.server(50);
  const call_ticket others = call_with(survivor, 1);
  REQUIRE(taken_by(s));
  call_ticket writing;
  REQUIRE(c.claim(writing) == attempt::done);
  const call_ticket taken = call_with(c, 2);
  const auto of_taken = taken_by(s);
  REQUIRE(of_taken);
  const call_ticket answered = call_with(c, 3);
  const auto of_answered = taken_by(s);
  REQUIRE(of_answered);
  REQUIRE(reply(s, *of_answered, 3));
  const call_ticket lost = call_with(c, 4);
  const auto of_lost = taken_by(s);
  REQUIRE(of_lost);
  REQUIRE(s.drop(*of_lost) == call_state::lost);
  const call_ticket ready = call_with(c, 5);
  for (int times = 0; times != 2; ++times) {
    r.recover(3);
    CHECK(r.state(others.index) == call_state::taken);
    CHECK(r.state(writing.index) == call_state::free);
    CHECK(r.state(taken.index) == call_state::abandoned);
    CHECK(r.state(answered.index) == call_state::free);
    CHECK(r.state(lost.index) == call_state::free);
    CHECK(r.state(ready.index) == call_state::free);
  }
  // The next owner of the slot has nothing to do with them.
  auto next = r.client(3);
  const call_ticket call = call_with(next, 6);
  CHECK_FALSE(reply(s, *of_taken, 2));
  CHECK(r.state(taken.index) == call_state::free);
  CHECK(next.look_at(call) == call_progress::waiting);
  CHECK(r.word(writing.index).generation == writing.word.generation);
}

TEST_CASE("what a dead server has is lost, or ready again, or free", "[call_ring]") {
  const raw_calls<ring_of<8>> r;
  auto c = r.client();
  auto s = r.server(50);
  auto survivor = r.server(51);
  const call_ticket once = call_with(c, 1);
  REQUIRE(taken_by(s));
  const call_ticket twice = call_with(c, 2, true);
  REQUIRE(taken_by(s));
  const call_ticket abandoned = call_with(c, 3);
  REQUIRE(taken_by(s));
  std::size_t server = 0;
  REQUIRE(c.withdraw(abandoned, server) == call_end::abandoned);
  const call_ticket answered = call_with(c, 4);
  const auto taken = taken_by(s);
  REQUIRE(taken);
  REQUIRE(reply(s, *taken, 4));
  const call_ticket others = call_with(c, 5);
  REQUIRE(taken_by(survivor));
  CHECK_FALSE(taken_by(survivor));
  for (int times = 0; times != 2; ++times) {
    r.recover(50);
    CHECK(c.look_at(once) == call_progress::lost);
    CHECK(c.look_at(twice) == call_progress::waiting);
    CHECK(r.state(abandoned.index) == call_state::free);
    CHECK(c.look_at(answered) == call_progress::answered);
    CHECK(c.look_at(others) == call_progress::taken);
  }
  const auto again = taken_by(survivor);
  REQUIRE(again);
  CHECK(again->index == twice.index);
  CHECK(again->word.deliveries == 2);
  CHECK(reply(survivor, *again, 2));
  CHECK(c.look_at(twice) == call_progress::answered);
}

TEST_CASE("both sides of a call die, in either order", "[call_ring]") {
  const bool again = GENERATE(false, true);
  const bool client_first = GENERATE(false, true);
  const raw_calls<ring_of<2>> r;
  auto c = r.client(1);
  auto s = r.server(40);
  call_with(c, 1, again);
  REQUIRE(taken_by(s));
  r.recover(client_first ? 1 : 40);
  r.recover(client_first ? 40 : 1);
  CHECK(r.client(2).size() == 0);
  auto survivor = r.server(41);
  CHECK_FALSE(taken_by(survivor));
}

TEST_CASE("a participant that leaves has nothing in the ring any more", "[call_ring]") {
  const raw_calls<ring_of<4>> r;
  auto c = r.client(1);
  auto s = r.server(40);
  const call_ticket t = call_with(c, 1);
  REQUIRE(taken_by(s));
  s.leave();
  CHECK(c.look_at(t) == call_progress::lost);
  call_with(c, 2);
  c.leave();
  CHECK(c.size() == 0);
}

TEST_CASE("a generation starts again after 2^36 calls of a place", "[call_ring]") {
  const raw_calls<ring_of<1>> r;
  r.word_bits(0) = call_word{(std::uint64_t{1} << 36) - 1, 0, 0, 0, false, call_state::free}.bits();
  auto c = r.client();
  auto s = r.server();
  const call_ticket t = call_with(c, 1);
  CHECK(t.word.generation == 0);
  const auto taken = taken_by(s);
  REQUIRE(taken);
  CHECK(reply(s, *taken, 1));
  CHECK(c.look_at(t) == call_progress::answered);
  CHECK(c.release(t));
}

// ---- forged words -----------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("whatever is in the memory, each answer comes after bounded work", "[call_ring]", ring_of<5>,
                   byte_call_ring) {
  const raw_calls<TestType> r(5, 64);
  std::mt19937_64 random(random_seed());
  const auto forge = [&] {
    switch (random() % 4) {
      case 0: r.word_bits(random() % r.memory.capacity) = random(); return;
      case 1: {  // nearly right
        std::atomic<std::uint64_t>& word = r.word_bits(random() % r.memory.capacity);
        word = word ^ std::uint64_t{1} << random() % 64;
        return;
      }
      case 2:
        (random() % 3 == 0 ? r.control().tail : random() % 2 == 0 ? r.control().head : r.control().news) = random();
        return;
      default: {
        auto* const all = reinterpret_cast<std::uint64_t*>(r.memory.at);
        all[random() % (r.memory.bytes / 8)] = random();
      }
    }
  };
  auto c = r.client(0);
  auto s = r.server(32);
  std::vector<call_ticket> made;
  std::vector<call_ticket> taken;
  std::uint64_t answered = 0;
  for (int i = 0; i != often(1'000'000); ++i) {
    if (random() % 4 == 0) forge();
    switch (random() % 8) {
      case 0: {
        call_ticket t;
        if (c.claim(t) == attempt::done) {
          c.place(t.index).deadline.store(random() % 2 * random());
          c.submit(t, random() % 2 == 0);
          made.push_back(t);
        }
        break;
      }
      case 1: {
        call_ticket t;
        std::uint64_t deadline = 0;
        if (s.take(t, deadline) == attempt::done) {
          CHECK(t.index < r.memory.capacity);
          taken.push_back(t);
        }
        break;
      }
      case 2:
      case 3:
        if (!taken.empty()) {
          answered += s.answer(taken.back(), call_state::answered);
          taken.pop_back();
        }
        break;
      case 4:
        if (!taken.empty()) {
          s.is_abandoned(taken.back());
          s.drop(taken.back());
          taken.pop_back();
        }
        break;
      case 5:
        if (!made.empty()) {
          std::size_t server = 0;
          if (c.look_at(made.back()) == call_progress::answered) {
            c.release(made.back());
          } else {
            c.withdraw(made.back(), server);
          }
          made.pop_back();
        }
        break;
      case 6:
        if (random() % 8 == 0) r.recover(random() % 64);
        break;
      default: {
        const bool sides_are_spoilt = c.corrupted() || s.corrupted();
        if (sides_are_spoilt || random() % 64 == 0) {
          for (std::size_t k = 0; k != r.memory.capacity; ++k) r.word_bits(k) = 0;
          made.clear();
          taken.clear();
          c = r.client(random() % 32);
          s = r.server(32 + random() % 32);
        }
        c.has_room();
        s.readable();
        c.size();
      }
    }
  }
  CHECK(answered > 100);
}

TEST_CASE("a call that no client can have made is corruption", "[call_ring]") {
  const raw_calls<ring_of<2>> r;
  for (const std::uint8_t client : {std::uint8_t{0}, std::uint8_t{65}}) {
    auto s = r.server();
    r.word_bits(0) = call_word{1, client, 0, 0, false, call_state::ready}.bits();
    call_ticket t;
    std::uint64_t deadline = 0;
    CHECK(s.take(t, deadline) == attempt::corrupted);
    CHECK(s.corrupted());
    CHECK(s.readable());  // so that no server sleeps on it
  }
}

// ---- at random ------------------------------------------------------------------------------------------------

TEST_CASE("random calls, deaths and late replies keep to the protocol", "[call_ring]") {
  constexpr std::size_t clients = 3, servers = 3;
  const raw_calls<ring_of<4>> r;
  std::mt19937_64 random(random_seed());
  struct made {
    call_ticket ticket;
    std::uint64_t n;
    bool again;
  };
  struct taken {
    call_ticket ticket;
    std::uint64_t n;
  };
  std::array<std::optional<ring_of<4>::client>, clients> c;
  std::array<std::optional<ring_of<4>::server>, servers> s;
  for (std::size_t i = 0; i != clients; ++i) c[i].emplace(r.memory, i);
  for (std::size_t i = 0; i != servers; ++i) s[i].emplace(r.memory, 32 + i);
  std::array<std::vector<made>, clients> calls;
  std::array<std::vector<taken>, servers> held;
  std::map<std::uint64_t, int> executed;
  std::uint64_t next = 0, ended = 0, lost = 0;
  for (int i = 0; i != often(400'000); ++i) {
    const std::size_t ci = random() % clients;
    const std::size_t si = random() % servers;
    switch (random() % 8) {
      case 0:
      case 1: {
        call_ticket t;
        if (c[ci]->claim(t) != attempt::done) break;
        access_to::store_request(c[ci]->place(t.index), {++next});
        const bool again = random() % 2 == 0;
        REQUIRE(c[ci]->submit(t, again) == attempt::done);
        calls[ci].push_back({t, next, again});
        break;
      }
      case 2:
      case 3: {
        const auto t = taken_by(*s[si]);
        if (!t) break;
        const std::uint64_t n = number_of(*s[si], *t);
        ++executed[n];
        held[si].push_back({*t, n});
        break;
      }
      case 4: {
        if (held[si].empty()) break;
        const taken t = held[si].back();
        held[si].pop_back();
        if (random() % 8 == 0) {
          s[si]->drop(t.ticket);
        } else {
          reply(*s[si], t.ticket, t.n);
        }
        break;
      }
      case 5:
      case 6: {
        if (calls[ci].empty()) break;
        const made m = calls[ci].front();
        raw_answer a;
        switch (c[ci]->look_at(m.ticket)) {
          case call_progress::answered:
            access_to::load_reply(c[ci]->place(m.ticket.index), a);
            REQUIRE(a.n == m.n);
            REQUIRE(a.check == ~m.n);
            REQUIRE(executed[m.n] >= 1);
            REQUIRE(c[ci]->release(m.ticket));
            calls[ci].erase(calls[ci].begin());
            ++ended;
            break;
          case call_progress::lost:
            REQUIRE_FALSE(m.again);
            REQUIRE(executed[m.n] == 1);
            REQUIRE(c[ci]->release(m.ticket));
            calls[ci].erase(calls[ci].begin());
            ++lost;
            break;
          case call_progress::corrupted:
          case call_progress::refused: FAIL("impossible"); break;
          default:
            if (random() % 4 != 0) break;
            std::size_t server = 0;
            const call_end end = c[ci]->withdraw(m.ticket, server);
            REQUIRE(end != call_end::over);
            if (end == call_end::not_started) REQUIRE(executed[m.n] == 0);
            calls[ci].erase(calls[ci].begin());
        }
        break;
      }
      default: {
        if (random() % 16 != 0) break;
        const bool a_client = random() % 2 == 0;
        const std::size_t who = a_client ? ci : si;
        for (unsigned k = 0; k <= random() % 2; ++k) r.recover(a_client ? who : 32 + who);
        if (a_client) {
          calls[who].clear();
          c[who].emplace(r.memory, who);
        } else {
          held[who].clear();
          s[who].emplace(r.memory, 32 + who);
        }
      }
    }
  }
  CHECK(ended > 100);
  CHECK(lost > 1);
  for (std::size_t i = 0; i != clients; ++i) r.recover(i);
  for (std::size_t i = 0; i != servers; ++i) r.recover(32 + i);
  CHECK(c[0]->size() == 0);
}

TEST_CASE("clients and servers in many threads", "[call_ring]") {
  const watchdog dog;
  constexpr std::size_t clients = 3, servers = 3;
  const std::uint64_t each = static_cast<std::uint64_t>(often(40'000));
  const raw_calls<ring_of<2>> r;
  std::atomic<std::uint64_t> left{clients * each};
  std::vector<std::atomic<std::uint8_t>> executed(clients * each);
  std::atomic<std::uint64_t> wrong{0}, cancelled{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i != clients; ++i) {
    threads.emplace_back([&, i] {
      auto c = r.client(i);
      std::mt19937 random(static_cast<unsigned>(i));
      for (std::uint64_t k = 0; k != each; ++k) {
        const std::uint64_t n = i * each + k;
        call_ticket t;
        while (c.claim(t) == attempt::would_block) std::this_thread::yield();
        access_to::store_request(c.place(t.index), {n});
        if (c.submit(t, false) != attempt::done) ++wrong;
        const bool impatient = random() % 4 == 0;
        bool over = false;
        for (int looks = 0; !over; ++looks) {
          const call_progress p = c.look_at(t);
          if (p == call_progress::answered) {
            raw_answer a;
            access_to::load_reply(c.place(t.index), a);
            if (a.n != n || a.check != ~n || executed[n] != 1) ++wrong;
            if (!c.release(t)) ++wrong;
            over = true;
          } else if (impatient && looks == 0) {
            std::size_t server = 0;
            switch (c.withdraw(t, server)) {
              case call_end::not_started:
                if (executed[n] != 0) ++wrong;
                over = true;
                break;
              case call_end::abandoned: over = true; break;
              case call_end::given_back: ++wrong; break;
              case call_end::over: break;
            }
            cancelled += over;
          } else {
            std::this_thread::yield();
          }
        }
        --left;
      }
    });
  }
  for (std::size_t i = 0; i != servers; ++i) {
    threads.emplace_back([&, i] {
      auto s = r.server(32 + i);
      while (left != 0) {
        call_ticket t;
        std::uint64_t deadline = 0;
        if (s.take(t, deadline) != attempt::done) {
          std::this_thread::yield();
          continue;
        }
        raw_question q;
        access_to::load_request(s.place(t.index), q);
        ++executed[q.n];
        access_to::store_reply(s.place(t.index), {q.n, ~q.n});
        s.answer(t, call_state::answered);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(cancelled > 0);
  CHECK(r.client().size() == 0);
}

TEST_CASE("a byte_call_ring has room for a request and a reply in each place", "[call_ring]") {
  const raw_calls<byte_call_ring> r(3, 100);
  CHECK(r.memory.message_bytes == 112);
  auto c = r.client();
  call_ticket t;
  for (int i = 0; i != 3; ++i) {
    REQUIRE(c.claim(t) == attempt::done);
    const auto request = detail::call_rooms::of_messages(112).request(c.place(t.index));
    const auto reply = detail::call_rooms::of_messages(112).reply(c.place(t.index));
    CHECK(reinterpret_cast<std::uintptr_t>(request.data()) % 16 == 0);
    CHECK(reply.data() == request.data() + 112);
    CHECK(reply.data() + reply.size() <= r.memory.at + r.memory.bytes);
    std::fill(request.begin(), request.end(), std::byte{1});
    std::fill(reply.begin(), reply.end(), std::byte{2});
    CHECK(r.state(t.index) == call_state::writing);
  }
  CHECK(c.claim(t) == attempt::would_block);
  CHECK(byte_call_ring::traits.capacity(0) == 64);
  CHECK(byte_call_ring::traits.capacity(std::uint64_t{1} << 40) == 0);
}
