#include "parts.hpp"

namespace belfry::detail::nats {

value_parts::outcome value_parts::take(const message_id& id, const message_part& part, std::span<const std::byte> data,
                                       std::string_view reply) {
  const bool same_value = !empty() && id.segment == id_.segment && id.position == id_.position;
  if (empty() && part.number != 0) return outcome::missing;
  if (part.count <= 1 || (!empty() && !same_value)) return outcome::broken;
  if (part.count != next_.count || part.bytes != next_.bytes) {
    // Begun by an export that has been started again since, with a server that takes larger messages, or smaller ones.
    if (part.number != 0) return outcome::broken;
    id_ = id;
    next_ = part;
    data_.clear();
  }
  if (part.number > next_.number) return outcome::broken;
  if (part.number < next_.number) return outcome::again;
  if (data.empty() || data.size() > part.bytes - data_.size()) return outcome::broken;
  if (part.is_last() && data_.size() + data.size() != part.bytes) return outcome::broken;
  data_.insert(data_.end(), data.begin(), data.end());
  ++next_.number;
  replies_.emplace_back(reply);
  return next_.number == next_.count ? outcome::whole : outcome::more;
}

}  // namespace belfry::detail::nats
