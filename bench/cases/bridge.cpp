// Values per second from one process to another one over NATS: through channels and bridges, and by NATS's own client.
#include "cases.hpp"
#include "../harness/asio.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/measure.hpp"
#include "../harness/timer.hpp"

#if defined(BELFRY_BENCH_NATS)

#include "../peers/nats_client.hpp"

#include <belfry/nats_bridge.hpp>
#include <belfry/shared_memory.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

namespace belfry::bench {
namespace {

/// Where the two bridges run: as processes of their own, such as `belfry bridge`, or as a thread of each program.
enum class bridges { beside, inside };

template <std::size_t Bytes, class Ring>
class bridged_stream final : public contender {
 public:
  explicit bridged_stream(bridges where) : where_(where) {
    nats_server::need();
    if (where_ == bridges::inside) return;
    const auto start = [this](bool exports) {
      return std::make_unique<child>([this, exports] {
        net::io_context io(1);
        const nats_bridge b = make(io, exports);
        io.run();
        return false;
      });
    };
    out_ = start(true);
    in_ = start(false);
  }
  ~bridged_stream() override {
    in_.reset();
    out_.reset();
    error_code ignored;
    channel<Ring>::unlink(here_, ignored);
    channel<Ring>::unlink(there_, ignored);
    shared_memory::unlink(there_ + ".nats", ignored);
  }

  figure lead(std::uint64_t n) override {
    cpus_.allow();
    const std::unique_ptr<inside> bridge = begin(false);
    net::io_context io(1);
    typename channel<Ring>::consumer rx(io, there_);
    rate_timer timer(n);
    for (std::uint64_t i = 0; i != n; timer.arrived(++i)) {
      message<Bytes> m;
      const error_code ec = rx.receive(m);
      if (ec) throw std::system_error(ec, "receive");
      check(m, i);
    }
    const figure f = timer.per_second(n);
    *over_ = true;
    return f;
  }

  void follow(std::uint64_t n) override {
    cpus_.allow();
    const std::unique_ptr<inside> bridge = begin(true);
    net::io_context io(1);
    typename channel<Ring>::producer tx(io, here_);
    message<Bytes> m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      error_code ec = tx.send(m);
      while (ec == errc::closed && where_ == bridges::beside) ec = tx.send(m);  // the bridge is not there yet
      if (ec) throw std::system_error(ec, "send");
    }
    while (!*over_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  nats_bridge make(net::io_context& io, bool exports) const {
    nats_options o;
    o.servers = {nats_server::need()};
    nats_bridge b(io, o);
    if (exports) {
      b.export_channel(here_, here_);
    } else {
      b.import_channel(here_, there_);
    }
    return b;
  }

  /// A bridge in a thread.
  class inside {
   public:
    inside(const bridged_stream& owner, bool exports)
        : bridge_(owner.make(io_, exports)), thread_([this] { io_.run(); }) {}
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;
    ~inside() {
      bridge_.close();
      io_.stop();
      thread_.join();
    }

   private:
    net::io_context io_;
    nats_bridge bridge_;
    std::thread thread_;
  };
  std::unique_ptr<inside> begin(bool exports) const {
    return where_ == bridges::inside ? std::make_unique<inside>(*this, exports) : nullptr;
  }

  const std::string here_ = unique_name("here");
  const std::string there_ = unique_name("there");
  const bridges where_;
  const all_cpus cpus_;
  inherited<std::atomic<bool>> over_;
  std::unique_ptr<child> out_;
  std::unique_ptr<child> in_;
};

template <std::size_t Bytes>
void compare(report& out) {
  using ids = typename nats_client_stream<Bytes>::ids;
  constexpr std::size_t places = Bytes < 4096 ? 4096 : 1024;
  using ordered = bridged_stream<Bytes, spsc_ring<message<Bytes>, places>>;
  using work = bridged_stream<Bytes, work_ring<message<Bytes>, places>>;
  const std::vector<entrant> all{
      enter<nats_client_stream<Bytes>>("NATS client, with message ids", ids::with),
      enter<nats_client_stream<Bytes>>("NATS client, without", ids::without),
      enter<ordered>("spsc_ring, belfry bridge", bridges::beside),
      enter<ordered>("spsc_ring, nats_bridge in the programs", bridges::inside),
      enter<work>("work_ring, belfry bridge", bridges::beside),
  };
  const auto figures = measure(all, {.first = 10'000, .seconds = 2, .rounds = 5, .least = 5'000});
  const auto peers = named(all, figures, 2);
  for (std::size_t i = 2; i != all.size(); ++i) {
    out.add({"bridge",
             "msg/s",
             {{"bytes", static_cast<int>(Bytes)}, {"how", all[i].name}},
             figures[i],
             peers});
  }
}

}  // namespace

void bridge(report& out) {
  compare<64>(out);
  compare<4096>(out);
}

}  // namespace belfry::bench

#else

#include <cstdio>

namespace belfry::bench {

void bridge(report&) { std::fprintf(stderr, "belfry-bench: bridge: built without libnats or nats-server\n"); }

}  // namespace belfry::bench

#endif
