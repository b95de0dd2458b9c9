// The server's side of a connection: nothing is unpickled or carried out before the client has proved that it
// knows the key.
#pragma once

#include "../wire/authentication.hpp"
#include "../wire/conversation.hpp"
#include "../wire/pickle.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail {

/// `(None, method, args, {})`
struct client_request {
  std::string method;
  std::vector<pickle::value> arguments;
};

/// The reply to a request: `('#RETURN', value)`, or `('#TRACEBACK', text)`.
struct reply {
  pickle::value value;
  std::string refusal;  // if not empty
};

class server_session final : public conversation {
 public:
  /// Carries out requests.
  class service {
   public:
    virtual reply serve(const client_request& r) = 0;

   protected:
    ~service() = default;
  };

  /// `key` must outlive the session.
  server_session(std::string_view key, bool md5_allowed, std::size_t longest_request, service& s);

  bool authenticated() const noexcept { return state_ >= state::idle; }
  /// Between two requests: the client is not waiting for us, and may stay silent as long as it likes.
  bool idle() const noexcept { return state_ == state::idle && between_messages(); }

 private:
  enum class state {
    challenging,
    judging,
    welcoming,
    challenged,
    answering,
    welcomed,
    refusing,
    idle,
    replying
  };

  void on_sent() override;
  void on_message(std::string_view message) override;
  void answer_challenge(std::string_view message);
  void serve(std::string_view message);

  const std::string_view key_;
  const bool md5_allowed_;
  const std::size_t longest_request_;
  service& service_;
  state state_ = state::challenging;
  std::string challenge_;
};

}  // namespace belfry::detail
