// Calls that consist of requests.
#pragma once

#include "client.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace belfry::detail {

using server_kind = manager_client::server_kind;

/// Sends one request after the other.
template <class Result>
class requesting : public manager_call_for<Result> {
 public:
  explicit requesting(client_ptr client) : chain_(std::move(client)) {}

  manager_call::wait proceed() override {
    using progress = request_chain::progress;
    for (;;) {
      if (!question_) {
        question_ = next();
        if (this->error_ || !question_) {
          chain_.finish();
          return manager_call::wait::none;
        }
      }
      failure f;
      switch (chain_.ask(*question_, f)) {
        case progress::to_read: return manager_call::wait::to_read;
        case progress::to_write: return manager_call::wait::to_write;
        case progress::failed: this->error_ = std::move(f); return manager_call::wait::none;
        case progress::answered:
          question_.reset();
          answered(chain_.session());
          if (client().kind() == server_kind::cpython) chain_.finish();
          break;
      }
    }
  }
  native_socket_type socket() const noexcept override { return chain_.socket(); }

 protected:
  using question = request_chain::question;

  /// The next request; none: the call is done.
  virtual std::optional<question> next() = 0;
  virtual void answered(client_session& s) = 0;

  bool accept(client_session& s, const char* what) {
    if (s.refused()) this->error_ = refused(what, s.refusal());
    return !s.refused();
  }
  manager_client& client() const noexcept { return chain_.client(); }

  static question ask(std::string_view method) { return {method, {}}; }
  static question ask(std::string_view method, std::string argument) {
    question q{method, {}};
    q.arguments.items.emplace_back(std::move(argument));
    return q;
  }

 private:
  request_chain chain_;
  std::optional<question> question_;
};

}  // namespace belfry::detail
