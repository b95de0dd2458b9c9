
#include "client_session.hpp"

#include <cstdlib>
#include <utility>

namespace belfry::detail {

client_session::client_session(std::string key, bool md5_allowed)
    : key_(std::move(key)), md5_allowed_(md5_allowed) {
  receive(authentication::max_message);
}

void client_session::request(std::string_view method, pickle::tuple arguments) {
  result_ = {};
  refused_ = false;
  refusal_.clear();
  state_ = state::asking;
  pickle::tuple parts;
  parts.items.emplace_back(pickle::none());
  parts.items.emplace_back(std::string(method));
  parts.items.emplace_back(std::move(arguments));
  parts.items.emplace_back(pickle::dict());
  send(pickle::dump(parts));
}

void client_session::on_sent() {
  switch (state_) {
    case state::answering: state_ = state::welcomed; return receive(authentication::max_message);
    case state::challenging: state_ = state::judging; return receive(authentication::max_message);
    case state::welcoming: return finish();
    case state::refusing: return wrong_key();
    case state::asking: state_ = state::waiting; return receive(longest_reply);
    default: std::abort();  // nothing is sent in these states
  }
}

void client_session::on_message(std::string_view message) {
  switch (state_) {
    case state::challenged: return answer_challenge(message);
    case state::welcomed:
      if (message != authentication::welcome) return wrong_key();
      try {
        challenge_ = authentication::make_challenge();
      } catch (const std::system_error& e) {
        return finish({e.code(), "authentication"});
      }
      state_ = state::challenging;
      return send(std::string(authentication::challenge_prefix) + challenge_);
    case state::judging: {
      const bool right = authentication::verify(key_, challenge_, message, md5_allowed_);
      state_ = right ? state::welcoming : state::refusing;
      return send(right ? authentication::welcome : authentication::refusal);
    }
    case state::waiting: return read_reply(message);
    default: std::abort();  // nothing is received in these states
  }
}

void client_session::answer_challenge(std::string_view message) {
  failure f;
  const std::string answer = authentication::answer_message(key_, message, md5_allowed_, f);
  if (f) return finish(std::move(f));
  state_ = state::answering;
  send(answer);
}

void client_session::read_reply(std::string_view message) {
  failure f;
  pickle::value v = pickle::load(message, f);
  if (f) return finish(std::move(f));
  auto* const parts = std::get_if<pickle::tuple>(&v);
  auto* const kind = parts != nullptr && parts->items.size() == 2
                         ? std::get_if<std::string>(&parts->items[0])
                         : nullptr;
  if (kind == nullptr) return violation("not a reply");
  if (*kind == "#RETURN") {
    result_ = std::move(parts->items[1]);
    return finish();
  }
  auto* const text = std::get_if<std::string>(&parts->items[1]);
  if (*kind != "#TRACEBACK" || text == nullptr) return violation("an unknown kind of reply");
  refused_ = true;
  refusal_ = std::move(*text);
  finish();
}

void client_session::wrong_key() {
  finish({make_error_code(errc::authentication_failed), "the server has another key"});
}

}  // namespace belfry::detail
