// Clients and servers are killed at random moments. Each call ends at most once, and its outcome is true.
#include "started.hpp"
#include "support/catch.hpp"

#include <belfry/belfry.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

using namespace belfry;
using namespace belfry::test;

namespace {

using namespace std::chrono_literals;

std::uint64_t kills() { return std::getenv("BELFRY_TEST_ALL_ROUNDS") != nullptr ? 120 : 12; }

std::uint64_t reply_to(std::uint64_t n) { return 2 * n + 1; }

struct values {
  using channel = belfry::channel<call_ring<std::uint64_t, std::uint64_t, 16>>;
  static constexpr const char* name = "values";
  static channel_options options() { return {}; }
  static std::uint64_t make(const std::uint64_t& n) { return n; }
  static std::uint64_t number(std::uint64_t n) { return n; }
};

struct bytes {
  using channel = belfry::channel<byte_call_ring>;
  static constexpr const char* name = "bytes";
  static channel_options options() {
    channel_options o;
    o.slots = 16;
    o.message_bytes = 64;
    return o;
  }
  static std::span<const std::byte> make(const std::uint64_t& n) { return std::as_bytes(std::span(&n, 1)); }
  static std::uint64_t number(std::span<const std::byte> b) {
    std::uint64_t n = ~std::uint64_t{0};
    if (b.size() == sizeof n) std::memcpy(&n, b.data(), sizeof n);
    return n;
  }
  static std::uint64_t number(const message& m) { return number(m.bytes()); }
};

/// What all processes together know of every call.
class ledger {
 public:
  enum end : std::uint64_t { none, answered, lost };
  static constexpr std::uint64_t most = 1 << 18;

  static std::string name_for(const std::string& channel) { return channel + "-ledger"; }
  static shared_memory make(const std::string& channel) {
    return shared_memory::create(name_for(channel), (2 * most + 1) * sizeof(std::uint64_t));
  }
  explicit ledger(shared_memory& block) : words_(block.as<std::uint64_t>()) {}

  std::uint64_t begin() {
    const std::uint64_t id = word(0).fetch_add(1);
    EXPECT(id < most);
    return id;
  }
  std::uint64_t begun() const { return word(0).load(); }
  void execute(std::uint64_t id) {
    EXPECT(id < most);
    word(1 + 2 * id).fetch_add(1);
  }
  std::uint64_t executed(std::uint64_t id) const { return word(1 + 2 * id).load(); }
  void note(std::uint64_t id, end e) { EXPECT(word(2 + 2 * id).exchange(e) == none); }
  end ended(std::uint64_t id) const { return static_cast<end>(word(2 + 2 * id).load()); }

 private:
  std::atomic_ref<std::uint64_t> word(std::uint64_t i) const { return std::atomic_ref(words_[i]); }

  std::span<std::uint64_t> words_;
};

template <class Kit>
void call_until_killed(const std::string& name) {
  auto block = shared_memory::open(ledger::name_for(name));
  ledger l(block);
  net::io_context io;
  typename Kit::channel::client c(io, name, Kit::options());
  event(name + "-joined").set();
  for (;;) {
    const std::uint64_t id = l.begin();
    typename Kit::channel::client::reply_type reply{};
    const error_code ec = c.call(Kit::make(id), reply, 600s);
    if (ec == errc::maybe_executed) {
      EXPECT(l.executed(id) <= 1);
      l.note(id, ledger::lost);
      continue;
    }
    EXPECT(!ec);
    EXPECT(Kit::number(reply) == reply_to(id));
    EXPECT(l.executed(id) == 1);
    l.note(id, ledger::answered);
  }
}

template <class Kit>
void serve_until_killed(const std::string& name) {
  auto block = shared_memory::open(ledger::name_for(name));
  ledger l(block);
  net::io_context io;
  typename Kit::channel::server s(io, name, Kit::options());
  event(name + "-joined").set();
  for (;;) {
    typename Kit::channel::server::call_type c;
    EXPECT(!s.accept(c, 600s));
    const std::uint64_t id = Kit::number(c.request());
    l.execute(id);
    const std::uint64_t reply = reply_to(id);
    c.reply(Kit::make(reply));
  }
}

template <class Kit>
struct bodies {
  const std::string name = Kit::name;
  const body client{name + "-call-until-killed", call_until_killed<Kit>};
  const body server{name + "-serve-until-killed", serve_until_killed<Kit>};
};
const bodies<values> of_values;
const bodies<bytes> of_bytes;

}  // namespace

TEMPLATE_TEST_CASE("killed clients and servers: each call ends at most once, and its outcome is true", "[calls]", values,
                   bytes) {
  const std::string name = unique_name("calls");
  std::minstd_rand random(3);
  {
    auto block = ledger::make(name);
    ledger l(block);
    net::io_context io;
    typename TestType::channel::client keeper(io, name, TestType::options());
    const event joined(name + "-joined");
    const auto start = [&](bool client) {
      started made(std::string(TestType::name) + (client ? "-call-until-killed" : "-serve-until-killed"), name);
      joined.wait();
      return made;
    };
    std::vector<started> clients;
    std::vector<started> servers;
    for (int i = 0; i != 2; ++i) {
      clients.push_back(start(true));
      servers.push_back(start(false));
    }
    std::uint64_t killed_clients = clients.size();  // those of the end
    for (std::uint64_t n = 0; n != kills(); ++n) {
      const std::uint64_t before = l.begun();
      while (l.begun() == before) std::this_thread::sleep_for(1ms);  // they do not stand still
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      const bool client = random() % 2 == 0;
      started& victim = (client ? clients : servers)[random() % 2];
      REQUIRE(victim.kill() == 137);  // it had no error
      killed_clients += client;
      victim = start(client);
    }
    for (started& c : clients) CHECK(c.kill() == 137);
    // The servers are there still: they take what is left, and nothing is held by the dead.
    const std::uint64_t last = l.begin();
    typename TestType::channel::client::reply_type reply{};
    REQUIRE(keeper.call(TestType::make(last), reply, 600s) == error_code());
    CHECK(TestType::number(reply) == reply_to(last));
    l.note(last, ledger::answered);
    reply = {};  // a reply of bytes lies in its place until then
    while (keeper.size() != 0) std::this_thread::sleep_for(1ms);
    for (started& s : servers) CHECK(s.kill() == 137);

    std::uint64_t answered = 0;
    std::uint64_t without_end = 0;
    std::uint64_t lies = 0;
    for (std::uint64_t id = 0; id != l.begun(); ++id) {
      const ledger::end e = l.ended(id);
      answered += e == ledger::answered;
      without_end += e == ledger::none;
      lies += l.executed(id) > 1 || (e == ledger::answered && l.executed(id) != 1);
    }
    CHECK(lies == 0);
    CHECK(answered > 0);
    CHECK(without_end <= killed_clients);
  }
  collect_garbage();
  CHECK(files_of(name) + stray_files("gone-") + stray_files("new-") == 0);
}
