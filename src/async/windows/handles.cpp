// Channels without names: not on Windows yet.
#include <belfry/channel_handles.hpp>

namespace belfry {
namespace detail {
namespace {

failure no_handles() {
  return {std::make_error_code(std::errc::operation_not_supported), "channels without names, on Windows"};
}

}  // namespace

bool try_send_handles(native_socket_type, const segment_handles&, failure& f) {
  f = no_handles();
  return false;
}

void send_handles(native_socket_type, const segment_handles&, failure& f) { f = no_handles(); }

segment_handles receive_handles(native_socket_type, failure& f) {
  f = no_handles();
  return {};
}

}  // namespace detail

std::string channel_handles::to_inherit(detail::failure& f) const {
  f = detail::no_handles();
  return {};
}

channel_handles channel_handles::inherited(std::string_view, detail::failure& f) {
  f = detail::no_handles();
  return {};
}

}  // namespace belfry
