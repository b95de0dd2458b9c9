// How long it takes until an item is delivered again: from just before the kill -9 of the consumer that holds
// it to the completion of another consumer's async_receive. Besides learning of the death (see `death`) this
// includes the search for the dead consumer's items.
#include "../harness/belfry_round_trip.hpp"
#include "cases.hpp"
#include "../harness/deaths.hpp"
#include "../harness/measure.hpp"
#include "../peers/deaths.hpp"

#include <belfry/ring/work_ring.hpp>

#include <stdexcept>

namespace belfry::bench {
namespace {

using jobs = channel<work_ring<letter, 1024>>;

/// A consumer that waits, and others that each take an item and are killed while they hold it.
class held_item {
 public:
  class survivor {
   public:
    explicit survivor(const held_item& bond)
        : tx_(bond.channel_.producer(io_)), rx_(bond.channel_.consumer(io_)) {
      done();
    }

    void wait_for(pid_t) {
      told_ = false;
      rx_.async_receive([this](const error_code& ec, const letter& m) {
        if (ec) throw std::system_error(ec);
        check(m, number_);
        told_ = true;
      });
      io_.restart();
      io_.poll();
    }
    void told() {
      while (!told_) io_.run_one();
    }
    /// For the next victim.
    void done() {
      letter m{};
      m.number(++number_);
      if (!tx_.try_send(m)) throw std::runtime_error("the ring is full");
    }

   private:
    net::io_context io_{1};
    jobs::producer tx_;
    jobs::consumer rx_;
    std::uint64_t number_ = 0;
    bool told_ = false;
  };

  class victim {
   public:
    explicit victim(const held_item& bond) : rx_(bond.channel_.consumer(io_)) {
      while (!(item_ = rx_.try_receive_lease())) ::usleep(100);
    }

   private:
    net::io_context io_{1};
    jobs::consumer rx_;
    lease<letter> item_;
  };

 private:
  meeting_point<jobs> channel_{"redelivery"};
};

}  // namespace

void redelivery(report& out) {
  const auto figures = measure(
      {
          enter<deaths<held_item>>("belfry, work_ring of 1024"),
          enter<awaited_round_trip>("belfry, round trip", meeting_point<letters>::by::name,
                                    microseconds),
          enter<deaths<epoll_pidfd_bond>>("raw epoll+pidfd, the news alone"),
      },
      {.first = 100, .seconds = 0.2, .rounds = 5});
  out.add({"redelivery",
           "us",
           {},
           figures[0],
           {{"belfry's round trip", figures[1]}, {"raw epoll+pidfd, the news alone", figures[2]}}});
}

}  // namespace belfry::bench
