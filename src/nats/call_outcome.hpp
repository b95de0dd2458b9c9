// How a call has ended on another machine, as its answer says it.
#pragma once

#include "client.hpp"
#include "link.hpp"

#include <belfry/detail/async/call_side.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace belfry::detail::nats {

/// The value of the header `Belfry-Outcome`. A message without one is none of a bridge: a stream that takes the subject,
/// too, answers to each request.
namespace call_outcome {
inline constexpr std::string_view reply = "reply";      ///< the message is the server's
inline constexpr std::string_view here = "here";        ///< answer to a message without a type: there is a server
inline constexpr std::string_view working = "working";  ///< a sign of life; cancelling it goes to its reply subject
// Nothing was executed.
inline constexpr std::string_view no_server = "no-server";
inline constexpr std::string_view overloaded = "overloaded";
inline constexpr std::string_view not_started = "not-started";
// It may have been.
inline constexpr std::string_view deadline_exceeded = "deadline-exceeded";
inline constexpr std::string_view maybe_executed = "maybe-executed";
/// With an error code: `refused 8589934620`, as encode_error() has it.
inline constexpr std::string_view refused = "refused ";
}  // namespace call_outcome

/// What is sent where a bridge listens that has a call.
inline constexpr std::string_view cancel_call = "cancel";
inline constexpr std::string_view look_for_call = "";  // if it is gone, the server says so

/// All bridges that take calls of a subject; each call goes to one of them.
inline constexpr const char* call_queue = "belfry";

inline std::string refused_with(const std::error_code& ec) {
  return std::string(call_outcome::refused) + std::to_string(encode_error(ec));
}
/// Another process may have sent anything.
inline std::error_code refusal_in(std::string_view outcome) noexcept {
  std::uint64_t code = 0;
  outcome.remove_prefix(call_outcome::refused.size());
  return parse_number(outcome, code) ? decode_error(code) : make_error_code(errc::refused);
}

/// A message with headers. Null: the client could not make it.
class call_message {
 public:
  call_message(const std::string& subject, const std::string& reply, std::span<const std::byte> data) {
    natsMsg* raw = nullptr;
    status_ = natsMsg_Create(&raw, subject.c_str(), reply.empty() ? nullptr : reply.c_str(),
                             reinterpret_cast<const char*>(data.data()), static_cast<int>(data.size()));
    message_.reset(raw);
  }
  void set(const char* key, const std::string& value) {
    if (status_ == NATS_OK) status_ = natsMsgHeader_Set(message_.get(), key, value.c_str());
  }
  natsStatus publish(connection& c) { return status_ == NATS_OK ? c.publish(message_.get()) : status_; }

 private:
  natsStatus status_ = NATS_OK;
  message_ptr message_;
};

}  // namespace belfry::detail::nats
