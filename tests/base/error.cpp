#include "support/test.hpp"

using namespace belfry;

TEST_CASE("errc converts to std::error_code and to Asio's error_code", "[error]") {
  const std::error_code ec = errc::closed;
  CHECK(ec == errc::closed);
  CHECK(ec != errc::peer_died);
  CHECK(std::string_view(ec.category().name()) == "belfry");

  const error_code up = detail::to_net(ec);
  CHECK(up == errc::closed);
  CHECK(up != errc::peer_died);
  CHECK(up.message() == ec.message());
}

TEST_CASE("system errors compare equal to Asio's own", "[error]") {
  CHECK(detail::to_net(detail::operation_aborted()) == net::error::operation_aborted);
  CHECK(detail::to_net(detail::timed_out()) == net::error::timed_out);
  CHECK_FALSE(detail::to_net({}));
}

TEST_CASE("every errc has a different message", "[error]") {
  std::vector<std::string> messages;
  for (int i = 1; i <= static_cast<int>(errc::overloaded); ++i) {
    messages.push_back(make_error_code(static_cast<errc>(i)).message());
    CHECK(messages.back().find("unknown") == std::string::npos);
  }
  std::sort(messages.begin(), messages.end());
  CHECK(std::adjacent_find(messages.begin(), messages.end()) == messages.end());
  CHECK(make_error_code(static_cast<errc>(999)).message() == "unknown belfry error 999");
}
