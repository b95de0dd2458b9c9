// What a subject is: in the key-value bucket `belfry`, in which the subject is the key.
#pragma once

#include "connection.hpp"
#include "net.hpp"

#include <memory>
#include <string>

namespace belfry::detail::nats {

struct subject_description {
  bool found = false;
  bool valid = false;
  std::string stream;   ///< empty: messages go to no stream
  std::string subject;  ///< of the messages
  std::string ring;     ///< as channel_info::kind
  std::string channel;  ///< as describe_channel() tells
};

/// Puts it there, unless it is there. The bucket is made if need be.
net::awaitable<connection::api_reply> put_description(std::shared_ptr<connection> c, std::string key,
                                                      subject_description what, unsigned replicas);
/// Not found: no error, and `found` is false.
net::awaitable<connection::api_reply> read_description(std::shared_ptr<connection> c, std::string key,
                                                       subject_description& out);

/// The configuration of a stream that is a key-value bucket, as all clients know it.
nlohmann::json as_bucket(const std::string& name);

}  // namespace belfry::detail::nats
