// What the bridge says to JetStream, and understands of its answers.
#pragma once

#include "connection.hpp"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace belfry::detail::nats {

/// JetStream's numbers of errors.
namespace js_error {
inline constexpr int no_peers = 10005;            ///< not enough servers for the replicas
inline constexpr int name_in_use = 10058;
inline constexpr int stream_not_found = 10059;
inline constexpr int consumer_not_found = 10014;
inline constexpr int consumer_exists = 10013;      ///< with another configuration
inline constexpr int consumer_not_unique = 10100;  ///< of a work queue
inline constexpr int wrong_last_sequence = 10071;
inline constexpr int message_too_large = 10054;
inline constexpr int no_message = 10037;
inline constexpr int message_in_process = 10158;  ///< since 2.11: it knows the message's id, and has not stored the message
}  // namespace js_error

/// Whether a stream with such subjects takes messages at this one.
bool takes_subject(const nlohmann::json& stream_config, std::string_view subject);

/// Whether it is worth trying again without a change elsewhere: the server is busy, full, or has no leader, or others of its
/// cluster have not started yet.
inline bool may_pass(const connection::api_reply& r) noexcept {
  return r.code >= 500 || r.code == 408 || r.code == 429 || r.error == js_error::no_peers;
}

/// The last message of a subject in a stream.
struct stored_message {
  bool found = false;
  std::string id;
  std::string part;  ///< see message_part
  std::string data;
};
/// By `DIRECT.GET`, if the stream allows that, else by `MSG.GET`, with which a server 2.9.10 crashes while the stream is
/// being made.
net::awaitable<connection::api_reply> last_message(std::shared_ptr<connection> c, std::string stream,
                                                   std::string subject, stored_message& out);
/// The number in the stream that an acknowledgement of a message tells; 0: none.
std::uint64_t sequence_in(std::string_view acknowledgement);
/// What the reply subject of a message of a consumer says.
struct delivery {
  bool valid = false;
  std::uint64_t deliveries = 0;
  std::uint64_t stream_sequence = 0;
  std::uint64_t consumer_sequence = 0;
  static delivery parse(std::string_view reply) noexcept;
};

/// A number for a text, the same in every process.
std::uint64_t hash_of(std::string_view text) noexcept;

}  // namespace belfry::detail::nats
