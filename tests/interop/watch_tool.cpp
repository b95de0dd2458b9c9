// A participant in C++ for watching.py and counting.py: one command per line; each is answered by a line.
// agent.py is the same in Python.
//
//     open NAME            "ok"; from here on a watch, and where there is an argument its transactions
//     close                "ok"
//     version              the version
//     notify [I]           "ok"
//     changed SEEN [I...]  the new version, as soon as there is one
//     begin [MS]           "held", "owner_died" (and held), or "timed_out"
//     end                  "ok"
//     peek I               the block's word I
//     poke I V             "ok"
//     play WHO OF N        "ok" when word 0 is N; each of OF processes raises it in its turns
//     count WHO N          "ok", see counting.py
#include <belfry/shared_memory.hpp>
#include <belfry/watch.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/io_context.hpp>
#else
#include <asio/io_context.hpp>
#endif

#include <atomic>
#include <cstdint>
#include <exception>
#include <iostream>
#include <numeric>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace net = belfry::net;

class agent {
 public:
  explicit agent(bool async) : async_(async) {}

  void obey(const std::string& line) {
    std::istringstream in(line);
    std::string command;
    in >> command;
    if (command == "open") {
      std::string name;
      in >> name;
      block_ = belfry::shared_memory::open(name);
      watch_.emplace(io_, block_);
    } else if (command == "close") {
      held_ = {};
      watch_.reset();
      block_.close();
    } else if (command == "version") {
      return say(watch_->version());
    } else if (command == "notify") {
      std::size_t element = 0;
      in >> element ? watch_->notify(element) : watch_->notify();
    } else if (command == "changed") {
      return say(changed(in));
    } else if (command == "begin") {
      std::int64_t timeout = 0;
      return say(in >> timeout ? begin(std::chrono::milliseconds(timeout)) : begin());
    } else if (command == "end") {
      held_ = {};
    } else if (command == "peek") {
      std::size_t i = 0;
      in >> i;
      return say(words()[i]);
    } else if (command == "poke") {
      std::size_t i = 0;
      in >> i >> words()[i];
    } else if (command == "play") {
      std::uint64_t who = 0;
      std::uint64_t of = 0;
      std::uint64_t n = 0;
      in >> who >> of >> n;
      while (play(who, of, n)) {
      }
    } else if (command == "count") {
      std::size_t who = 0;
      std::uint64_t n = 0;
      in >> who >> n;
      while (words()[1 + who] != n) count(who);
    } else {
      throw std::runtime_error("no such command");
    }
    say("ok");
  }

 private:
  template <class T>
  static void say(const T& answer) {
    std::cout << answer << std::endl;
  }

  std::span<std::uint64_t> words() { return block_.as<std::uint64_t>(); }

  bool play(std::uint64_t who, std::uint64_t of, std::uint64_t n) {
    const std::uint64_t seen = watch_->version();
    const std::uint64_t now = words()[0];
    if (now >= n) return false;
    if (now % of == who) {
      words()[0] = now + 1;
      watch_->notify();
    } else {
      changed(seen, {});
    }
    return true;
  }

  std::uint64_t changed(std::istream& in) {
    std::uint64_t seen = 0;
    in >> seen;
    std::vector<std::size_t> elements;
    for (std::size_t i = 0; in >> i;) elements.push_back(i);
    return changed(seen, elements);
  }

  std::uint64_t changed(std::uint64_t seen, const std::vector<std::size_t>& elements) {
    const auto told = [&](const belfry::error_code& ec, std::uint64_t version) {
      if (ec) throw belfry::net_system_error(ec);
      seen = version;
    };
    if (elements.empty()) {
      watch_->async_changed(seen, told);
    } else {
      watch_->async_changed(seen, elements, told);
    }
    run();
    return seen;
  }

  const char* begin(std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max()) {
    belfry::error_code ec;
    if (async_) {
      watch_->async_txn([&](const belfry::error_code& e, belfry::transaction t) {
        ec = e;
        held_ = std::move(t);
      });
      io_.restart();
      if (timeout == std::chrono::nanoseconds::max()) {
        io_.run();
      } else {
        io_.run_for(timeout);
        watch_->cancel();
        run();
      }
      if (ec == net::error::operation_aborted) return "timed_out";
    } else {
      held_ = block_.txn(timeout, ec);
      if (ec == std::errc::timed_out) return "timed_out";
    }
    if (ec && ec != belfry::errc::owner_died) throw belfry::net_system_error(ec);
    return held_.owner_died() ? "owner_died" : "held";
  }

  /// Word 0 is the count; then the count of each process; then how many deaths each was told of.
  void count(std::size_t who) {
    begin();
    const auto block = held_.as<std::uint64_t>();
    const auto done = block.subspan(1, 8);
    const std::uint64_t reported = std::accumulate(done.begin(), done.end(), std::uint64_t{0});
    if (held_.owner_died()) {
      ++block[9 + who];
      block[0] = reported;
    }
    if (block[0] != reported) throw std::runtime_error("another process was in a transaction");
    // The compiler must not merge or reorder these stores.
    std::atomic_ref(block[0]).store(reported + 1, std::memory_order_release);
    std::atomic_ref(done[who]).store(done[who] + 1, std::memory_order_release);
    held_ = {};
  }

  void run() {
    io_.restart();
    io_.run();
  }

  const bool async_;
  net::io_context io_;
  belfry::shared_memory block_;
  std::optional<belfry::watch> watch_;
  belfry::transaction held_;
};

}  // namespace

int main(int argc, char**) {
  agent a(argc > 1);
  for (std::string line; std::getline(std::cin, line);) {
    try {
      a.obey(line);
    } catch (const std::exception& e) {
      std::cout << "error " << e.what() << std::endl;
    }
  }
}
