// The three ways in which endpoints meet, behind one interface: a test of one way runs with all of them.
//
//     auto tx = meet<ticks>::producer(io, name, options);
//
// Endpoints meet by name, unless the environment says otherwise: BELFRY_TEST_MEET=handles, where all are in
// one process; or =manager, whose server is a process that is started with the program.
#pragma once

#include "test.hpp"

#include <map>
#include <string>

namespace belfry::test {

enum class meeting { by_name, by_handles, by_manager };

meeting way_to_meet();
const shared_memory_manager& meeting_manager();

/// Both sides have to use the same one.
template <class Channel>
struct meeting_place {
  /// Removes what is left in the channel.
  static void forget(const std::string& name) {
    error_code not_there;
    if (way_to_meet() == meeting::by_name) Channel::unlink(name, not_there);
    all_handles().erase(name);
  }

  template <class Endpoint, class... Ec>
  static Endpoint join(net::io_context& io, const std::string& name, const channel_options& o, Ec&... ec) {
    switch (way_to_meet()) {
      case meeting::by_manager: return Endpoint(io, meeting_manager(), name, o, ec...);
      case meeting::by_handles: {
        channel_handles& h = all_handles()[name];
        if (!h) h = Channel::make_handles(o);
        return Endpoint(io, h, o, ec...);
      }
      case meeting::by_name: break;
    }
    return Endpoint(io, name, o, ec...);
  }

 private:
  static std::map<std::string, channel_handles>& all_handles() {
    static std::map<std::string, channel_handles> all;
    return all;
  }
};

template <class Channel>
struct meet : meeting_place<Channel> {
  using place = meeting_place<Channel>;
  using producer_type = typename Channel::producer;
  using consumer_type = typename Channel::consumer;

  static producer_type producer(net::io_context& io, const std::string& name, const channel_options& o = {}) {
    return place::template join<producer_type>(io, name, o);
  }
  static producer_type producer(net::io_context& io, const std::string& name, const channel_options& o, error_code& ec) {
    return place::template join<producer_type>(io, name, o, ec);
  }
  static consumer_type consumer(net::io_context& io, const std::string& name, const channel_options& o = {}) {
    return place::template join<consumer_type>(io, name, o);
  }
  static consumer_type consumer(net::io_context& io, const std::string& name, const channel_options& o, error_code& ec) {
    return place::template join<consumer_type>(io, name, o, ec);
  }
};

/// The same for clients and servers.
template <class Channel>
struct meet_for_calls : meeting_place<Channel> {
  using place = meeting_place<Channel>;

  template <class... Ec>
  static typename Channel::client client(net::io_context& io, const std::string& name, const channel_options& o = {},
                                         Ec&... ec) {
    return place::template join<typename Channel::client>(io, name, o, ec...);
  }
  template <class... Ec>
  static typename Channel::server server(net::io_context& io, const std::string& name, const channel_options& o = {},
                                         Ec&... ec) {
    return place::template join<typename Channel::server>(io, name, o, ec...);
  }
};

}  // namespace belfry::test
