// What channels of every ring have in common.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/error.hpp>

#include <string_view>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

template <class Ring>
struct channel_base {
  using ring_type = Ring;

  /// Creates a channel without a name, and returns its handles: one for the memory, and a bell for each of
  /// `options.participants`. `lifetime` and `mode` have no meaning for it. Throws std::system_error.
  static channel_handles make_handles(const channel_options& options = {}) {
    failure f;
    segment_handles handles = segment::create_anonymous(Ring::traits, options, f);
    if (f) f.raise();
    return channel_handles_of(std::move(handles));
  }
  /// The same. Sets `ec`; after an error the handles are empty.
  static channel_handles make_handles(const channel_options& options, error_code& ec) {
    failure f;
    segment_handles handles = segment::create_anonymous(Ring::traits, options, f);
    ec = to_net(f.code);
    return channel_handles_of(std::move(handles));
  }
  static channel_handles make_handles(error_code& ec) { return make_handles({}, ec); }

  /// Removes the name of a channel, even if values are unread. Its participants continue. A later participant that uses
  /// this name creates a new channel. Throws std::system_error, for instance `std::errc::no_such_file_or_directory`.
  static void unlink(std::string_view name) {
    failure f;
    if (!segment::unlink(name, f)) f.raise();
  }
  static void unlink(std::string_view name, error_code& ec) {
    failure f;
    segment::unlink(name, f);
    ec = to_net(f.code);
  }
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
