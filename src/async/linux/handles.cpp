// Handing descriptors to other processes.
#include "../../platform/handle.hpp"

#include <belfry/channel_handles.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belfry {
namespace detail {
namespace {

/// The bytes sent with the descriptors, so that the receiver recognises the message.
struct parcel {
  std::array<char, 8> magic{'b', 'e', 'l', 'f', 'r', 'y', 'h', '1'};
  std::uint32_t bells = 0;
  std::uint32_t reserved = 0;
};

constexpr std::size_t max_descriptors = 1 + layout::max_participants;

failure system_failure(const char* what) {
  return {std::error_code(errno, std::system_category()), what};
}

/// An Asio socket may be non-blocking.
void wait_until_ready(int socket, short events) {
  pollfd ready{socket, events, 0};
  ::poll(&ready, 1, -1);
}

/// Takes ownership of every received descriptor, also of those that will be refused.
std::vector<unique_handle> take_descriptors(msghdr& message, failure& f) {
  std::vector<unique_handle> taken;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i != count; ++i) {
      int descriptor;
      std::memcpy(&descriptor, CMSG_DATA(c) + i * sizeof(int), sizeof descriptor);
      taken.push_back(platform::above_standard(descriptor));
      if (!taken.back()) f = system_failure("receive handles");
    }
  }
  return taken;
}

}  // namespace

bool try_send_handles(native_socket_type socket, const segment_handles& handles, failure& f) {
  if (!handles.block || handles.bells.size() >= max_descriptors) {
    f = {std::make_error_code(std::errc::invalid_argument), "send handles: none given, or too many bells"};
    return false;
  }
  std::array<int, max_descriptors> descriptors{handles.block.get()};
  std::size_t count = 1;
  for (const unique_handle& bell : handles.bells) descriptors[count++] = bell.get();

  parcel content;
  content.bells = static_cast<std::uint32_t>(handles.bells.size());
  iovec bytes{&content, sizeof content};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptors)> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(rights), descriptors.data(), count * sizeof(int));

  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent == -1 && errno == EINTR);
  // The descriptors travel with the first byte. Sixteen bytes are sent whole or not at all.
  if (sent == static_cast<ssize_t>(sizeof content)) return true;
  if (sent != -1 || errno != EAGAIN) f = system_failure("send handles");
  return false;
}

void send_handles(native_socket_type socket, const segment_handles& handles, failure& f) {
  while (!try_send_handles(socket, handles, f) && !f) wait_until_ready(socket, POLLOUT);
}

segment_handles receive_handles(native_socket_type socket, failure& f) {
  parcel content;
  iovec bytes{&content, sizeof content};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(max_descriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  while ((got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) == -1) {
    if (errno == EAGAIN) {
      wait_until_ready(socket, POLLIN);
    } else if (errno != EINTR) {
      break;
    }
  }
  if (got < 0) {
    f = system_failure("receive handles");
    return {};
  }
  std::vector<unique_handle> taken = take_descriptors(message, f);
  if (f) return {};
  if (got == 0) {
    f = {std::make_error_code(std::errc::connection_reset), "receive handles: the peer has gone"};
    return {};
  }
  // The kernel installs descriptors until the process has reached its limit, and sets MSG_CTRUNC.
  const bool cut_off = (message.msg_flags & MSG_CTRUNC) != 0 && taken.size() < max_descriptors;
  if (cut_off) {
    f = {std::make_error_code(std::errc::too_many_files_open), "receive handles"};
    return {};
  }
  if (got != static_cast<ssize_t>(sizeof content) || content.magic != parcel{}.magic ||
      (message.msg_flags & MSG_CTRUNC) != 0 || taken.empty() || taken.size() > max_descriptors ||
      content.bells + 1 != taken.size()) {
    f = {make_error_code(errc::protocol_error),
         "receive handles: the message does not come from send_handles"};
    return {};
  }
  segment_handles handles;
  handles.block = std::move(taken.front());
  for (std::size_t i = 1; i != taken.size(); ++i) handles.bells.push_back(std::move(taken[i]));
  return handles;
}

}  // namespace detail

std::string channel_handles::to_inherit(detail::failure& f) const {
  std::string text = "belfry";
  const auto add = [&](const detail::unique_handle& handle) {
    if (::fcntl(handle.get(), F_SETFD, 0) != 0) f = detail::system_failure("inherit handles");
    text += ':' + std::to_string(handle.get());
  };
  add(handles_.block);
  for (const detail::unique_handle& bell : handles_.bells) add(bell);
  return f ? std::string() : text;
}

channel_handles channel_handles::inherited(std::string_view text, detail::failure& f) {
  const auto malformed = [&] {
    f = {std::make_error_code(std::errc::invalid_argument),
         '"' + std::string(text.substr(0, 64)) + "\" is not a text made by to_inherit()"};
    return channel_handles();
  };
  std::vector<int> descriptors;
  constexpr std::string_view prefix = "belfry";
  if (!text.starts_with(prefix)) return malformed();
  for (std::string_view rest = text.substr(prefix.size()); !rest.empty();) {
    int descriptor = -1;
    if (rest.front() != ':') return malformed();
    const auto [end, error] =
        std::from_chars(rest.data() + 1, rest.data() + rest.size(), descriptor);
    const bool possible = error == std::errc() && descriptor >= 0;
    if (!possible || platform::is_standard(descriptor)) return malformed();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    descriptors.push_back(descriptor);
  }
  std::vector<int> distinct = descriptors;
  std::sort(distinct.begin(), distinct.end());
  const bool twice = std::adjacent_find(distinct.begin(), distinct.end()) != distinct.end();
  if (descriptors.empty() || descriptors.size() > detail::max_descriptors || twice)
    return malformed();
  // Check that all exist before taking ownership of any: a wrong number must not close an unrelated descriptor.
  for (const int descriptor : descriptors) {
    if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
      f = detail::system_failure("inherit handles");
      return {};
    }
  }
  detail::segment_handles handles;
  handles.block = detail::unique_handle(descriptors.front());
  for (std::size_t i = 1; i != descriptors.size(); ++i) handles.bells.emplace_back(descriptors[i]);
  return channel_handles(std::move(handles));
}

std::string channel_handles::to_inherit() const {
  detail::failure f;
  std::string text = to_inherit(f);
  if (f) f.raise();
  return text;
}

std::string channel_handles::to_inherit(error_code& ec) const {
  detail::failure f;
  std::string text = to_inherit(f);
  ec = detail::to_net(f.code);
  return text;
}

channel_handles channel_handles::inherited(std::string_view text) {
  detail::failure f;
  channel_handles handles = inherited(text, f);
  if (f) f.raise();
  return handles;
}

channel_handles channel_handles::inherited(std::string_view text, error_code& ec) {
  detail::failure f;
  channel_handles handles = inherited(text, f);
  ec = detail::to_net(f.code);
  return handles;
}

}  // namespace belfry
