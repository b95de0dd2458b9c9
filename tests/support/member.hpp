// Participants without an endpoint: in this process, and in a process that will be killed.
#pragma once

#include "process.hpp"
#include "rings.hpp"

#include <belfry/detail/segment/roster.hpp>

#include <memory>

#include <poll.h>
#include <unistd.h>

namespace belfry::test {

class member {
 public:
  using joined = detail::roster::joined;

  member(std::string_view name, layout::role role, const channel_options& options = {},
         const detail::ring_traits& traits = of_values::channel::ring_type::traits) {
    segment_ = std::make_unique<detail::segment>(
        detail::segment::create_or_open(name, traits, options, failure_));
    if (!failure_) roster_ = std::make_unique<detail::roster>(*segment_, role);
  }
  ~member() { leave(); }

  joined join() { return roster_->join(failure_); }
  void leave() { roster_.reset(); }

  detail::roster* operator->() const { return roster_.get(); }
  detail::roster& roster() const { return *roster_; }
  detail::segment& segment() const { return *segment_; }
  const detail::failure& failure() const { return failure_; }
  layout::slot_control control(std::size_t slot) const { return segment_->slot(slot).control.load(); }

 private:
  detail::failure failure_;
  std::unique_ptr<detail::segment> segment_;
  std::unique_ptr<detail::roster> roster_;
};

/// A participant in its own process. It joins, calls `then`, and sleeps until it is killed.
class victim {
 public:
  victim(std::string_view name, layout::role role, const std::function<void(member&)>& then = {})
      : child_([&] {
          member m(name, role);
          EXPECT(m.join() == member::joined::yes);
          if (then) then(m);
          ready_.set();
          for (;;) ::pause();
        }) {
    ready_.wait();
  }
  void kill() { child_.kill(); }

 private:
  event ready_;
  child child_;
};

inline bool is_ready(native_handle_type handle, short events = POLLIN) {
  pollfd p{handle, events, 0};
  return ::poll(&p, 1, 0) == 1;
}

inline bool is_marked(const member& m, layout::role role, std::size_t slot) {
  return m.segment().header().parked[static_cast<std::size_t>(role)].slots[slot] != 0;
}

inline constexpr layout::role producer_role = layout::role::producer;
inline constexpr layout::role consumer_role = layout::role::consumer;

}  // namespace belfry::test
