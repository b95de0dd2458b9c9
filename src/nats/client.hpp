// The C client of NATS: its objects, and its errors.
#pragma once

#include <nats/nats.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace belfry::detail::nats {

template <auto Destroy>
struct destroyer {
  template <class T>
  void operator()(T* object) const noexcept {
    Destroy(object);
  }
};
using message_ptr = std::unique_ptr<natsMsg, destroyer<natsMsg_Destroy>>;
using options_ptr = std::unique_ptr<natsOptions, destroyer<natsOptions_Destroy>>;

inline std::string_view data_of(const natsMsg* m) noexcept {
  return {natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m))};
}
inline std::span<const std::byte> bytes_of(const natsMsg* m) noexcept {
  return std::as_bytes(std::span(natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m))));
}
inline std::string_view subject_of(const natsMsg* m) noexcept { return natsMsg_GetSubject(m); }
inline std::string_view reply_of(const natsMsg* m) noexcept {
  const char* const reply = natsMsg_GetReply(m);
  return reply == nullptr ? std::string_view() : reply;
}
/// Empty if there is none.
inline std::string_view header_of(natsMsg* m, const char* key) noexcept {
  const char* value = nullptr;
  return natsMsgHeader_Get(m, key, &value) == NATS_OK && value != nullptr ? value : std::string_view();
}

}  // namespace belfry::detail::nats
