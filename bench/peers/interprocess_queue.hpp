// Boost.Interprocess's message_queue, one in each direction, blocking.
#pragma once

#include "../harness/memory.hpp"
#include "../harness/transport.hpp"

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>
#include <optional>
#include <string>

namespace belfry::bench {

class interprocess_queue {
  using queue = boost::interprocess::message_queue;

  /// The queue's name; removed by the process that made it.
  class place {
   public:
    explicit place(std::size_t bytes) : name_(unique_name("queue")) {
      queue(boost::interprocess::create_only, name_.c_str(), depth(bytes), bytes);
    }
    ~place() { queue::remove(name_.c_str()); }
    place(const place&) = delete;
    place& operator=(const place&) = delete;

    const char* name() const noexcept { return name_.c_str(); }

   private:
    std::string name_;
  };

 public:
  interprocess_queue(std::size_t bytes, traffic ways) : to_lead_(bytes) {
    if (ways == traffic::both_ways) to_follow_.emplace(bytes);
  }

  class endpoint {
   public:
    endpoint(const interprocess_queue& q, side s) {
      open(s == side::lead ? in_ : out_, q.to_lead_);
      if (q.to_follow_) open(s == side::lead ? out_ : in_, *q.to_follow_);
    }

    void send(const void* from, std::size_t bytes) { out_->send(from, bytes, 0); }
    void receive(void* to, std::size_t bytes) {
      queue::size_type received = 0;
      unsigned priority = 0;
      in_->receive(to, bytes, received, priority);
      expect_size(received, bytes);
    }

   private:
    static void open(std::optional<queue>& q, const place& p) {
      q.emplace(boost::interprocess::open_only, p.name());
    }

    std::optional<queue> in_;
    std::optional<queue> out_;
  };

 private:
  place to_lead_;
  std::optional<place> to_follow_;
};

}  // namespace belfry::bench
