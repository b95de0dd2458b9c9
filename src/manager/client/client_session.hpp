// The client's side of a connection: it proves that it knows the key, asks the server for the same proof, and
// then sends requests one after the other.
#pragma once

#include "../wire/authentication.hpp"
#include "../wire/conversation.hpp"
#include "../wire/pickle.hpp"

#include <string>
#include <string_view>

namespace belfry::detail {

class client_session final : public conversation {
 public:
  /// Begins with the handshake; the session is done when the handshake is.
  client_session(std::string key, bool md5_allowed);

  /// Begins a request; the session is done when the reply has arrived. The handshake, or the previous
  /// request, must have succeeded.
  void request(std::string_view method, pickle::tuple arguments);

  /// The returned value. If the server refused: see `refused()`, and its text.
  pickle::value& result() noexcept { return result_; }
  bool refused() const noexcept { return refused_; }
  const std::string& refusal() const noexcept { return refusal_; }

  static constexpr std::size_t longest_reply = 16 << 20;

 private:
  enum class state {
    challenged,
    answering,
    welcomed,
    challenging,
    judging,
    welcoming,
    refusing,
    asking,
    waiting
  };

  void on_sent() override;
  void on_message(std::string_view message) override;
  void answer_challenge(std::string_view message);
  void read_reply(std::string_view message);
  void wrong_key();

  const std::string key_;
  const bool md5_allowed_;
  state state_ = state::challenged;
  std::string challenge_;
  pickle::value result_;
  bool refused_ = false;
  std::string refusal_;
};

}  // namespace belfry::detail
