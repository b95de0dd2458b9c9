#include <belfry/error.hpp>

namespace belfry {
namespace {

class category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "belfry"; }

  std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::closed: return "the channel is closed";
      case errc::peer_died: return "a peer died";
      case errc::owner_died: return "the holder of the transaction died";
      case errc::role_taken: return "the role is taken";
      case errc::roster_full: return "the roster is full";
      case errc::incompatible: return "the segment is incompatible";
      case errc::corrupted: return "the shared memory is corrupted";
      case errc::lagged: return "values were lost to a faster producer";
      case errc::message_too_large: return "the message is larger than the ring";
      case errc::authentication_failed: return "authentication failed";
      case errc::protocol_error: return "protocol error";
      case errc::no_server: return "no server is there";
      case errc::not_started: return "the deadline of the call has passed before it was started";
      case errc::maybe_executed: return "the server died or dropped the call, which may have been executed";
      case errc::deadline_exceeded: return "the deadline of the call has passed";
      case errc::refused: return "the server has refused the call";
      case errc::overloaded: return "too many calls are pending";
    }
    return "unknown belfry error " + std::to_string(value);
  }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const category instance;
  return instance;
}

}  // namespace belfry
