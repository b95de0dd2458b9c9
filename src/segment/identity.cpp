#include "identity.hpp"

#include "self_description.hpp"

#include <belfry/detail/segment/segment.hpp>

#include <algorithm>
#include <string_view>

namespace belfry::detail {
namespace {

constexpr std::uint64_t align_up(std::uint64_t n, std::uint64_t alignment) noexcept {
  return (n + alignment - 1) / alignment * alignment;
}

bool usable(const ring_traits& traits, failure& f) {
  if (traits.library_layout == nullptr || traits.library_layout() != 0) return true;
  f = {make_error_code(errc::incompatible),
       "the queue of the library below this ring has an unknown layout"};
  return false;
}

bool refuse(const char* field, const std::string& found, const std::string& expected,
            const std::string& label, failure& f) {
  f = {make_error_code(errc::incompatible),
       label + ": the " + field + " is " + found + ", expected " + expected};
  return false;
}

std::string show(layout::ring_kind kind) {
  const std::string_view name = layout::name_of(kind);
  return name.empty() ? std::to_string(static_cast<std::uint32_t>(kind)) : std::string(name);
}

bool same(const char* field, layout::ring_kind found, layout::ring_kind expected,
          const std::string& label, failure& f) {
  return found == expected || refuse(field, show(found), show(expected), label, f);
}

std::size_t capacity_wish(const ring_traits& traits, const channel_options& options) noexcept {
  return traits.chosen_messages ? options.slots : options.capacity;
}

/// The count of deliveries goes no further.
constexpr std::uint32_t most_deliveries = 255;

std::string octal(unsigned mode) {
  std::string text = "0";
  for (const unsigned shift : {6, 3, 0}) text += static_cast<char>('0' + (mode >> shift & 7));
  return text;
}

}  // namespace

bool check_mode(unsigned mode, std::string_view name, failure& f) {
  if ((mode & 0777) == participants_mode(mode) && (mode & 0600) == 0600) return true;
  f = {std::make_error_code(std::errc::invalid_argument),
       "the mode " + octal(mode) + " of \"" + std::string(name) +
           "\": the owner, and others if any, must be allowed both to read and to write"};
  return false;
}

bool check_options(const ring_traits& traits, const channel_options& options, failure& f) {
  if (options.participants < 2 || options.participants > layout::max_participants) {
    f = {std::make_error_code(std::errc::invalid_argument),
         std::to_string(options.participants) + " participants: a channel has 2 to " +
             std::to_string(layout::max_participants)};
    return false;
  }
  if (options.capacity != 0 && !traits.chosen_capacity) {
    f = {std::make_error_code(std::errc::invalid_argument),
         "a capacity of " + std::to_string(options.capacity) + ": the type of this ring fixes its capacity"};
    return false;
  }
  if ((options.slots != 0 || options.message_bytes != 0) && !traits.chosen_messages && !traits.any) {
    f = {std::make_error_code(std::errc::invalid_argument),
         "slots or message_bytes: this ring does not have a place for each message"};
    return false;
  }
  const bool delivers_again = traits.redelivers || traits.kind == layout::ring_kind::call || traits.any;
  if (options.max_deliveries != 0 && !delivers_again) {
    f = {std::make_error_code(std::errc::invalid_argument), "max_deliveries: this ring delivers nothing again"};
    return false;
  }
  if (options.lease_timeout.count() != 0 && !traits.redelivers && !traits.any) {
    f = {std::make_error_code(std::errc::invalid_argument), "lease_timeout: this ring has no leases"};
    return false;
  }
  if (options.max_deliveries > most_deliveries || options.lease_timeout.count() < 0) {
    f = {std::make_error_code(std::errc::invalid_argument),
         "max_deliveries is " + std::to_string(options.max_deliveries) + ", lease_timeout " +
             std::to_string(options.lease_timeout.count()) + " ns: possible are 0 to " + std::to_string(most_deliveries) +
             ", and 0 or more"};
    return false;
  }
  if (!usable(traits, f)) return false;
  const auto refuse = [&](const char* what, std::size_t number) {
    f = {std::make_error_code(std::errc::invalid_argument),
         what + std::to_string(number) + " is not possible for this ring"};
    return false;
  };
  const std::size_t wish = capacity_wish(traits, options);
  if (traits.any) return true;  // compared with the segment's
  if (traits.capacity(wish) == 0) return refuse(traits.chosen_messages ? "a number of slots of " : "a capacity of ", wish);
  if (traits.chosen_messages && traits.message_bytes(options.message_bytes) == 0)
    return refuse("a message size of ", options.message_bytes);
  return true;
}

namespace {

struct sizes {
  std::uint64_t capacity;
  std::uint64_t message_bytes;
  std::uint64_t lease_timeout;
};

/// What a segment of this ring looks like, without what only its creator knows.
layout::identity identity_of(const ring_traits& traits, sizes size, seats places, std::size_t description_bytes) {
  layout::identity id{};
  id.magic = layout::magic;
  id.version = layout::version;
  id.header_bytes =
      static_cast<std::uint32_t>(layout::header_bytes(places.all(), description_bytes));
  id.kind = traits.kind;
  id.producers = places.producers;
  id.consumers = places.consumers;
  id.value_bytes = traits.value_bytes;
  id.value_align = traits.value_align;
  id.type_fingerprint = traits.type_fingerprint;
  id.abi_fingerprint = traits.abi();
  id.capacity = size.capacity;
  id.message_bytes = size.message_bytes;
  id.lease_timeout = traits.redelivers ? size.lease_timeout : 0;
  id.ring_offset = align_up(id.header_bytes, traits.align);
  const ring_layout shape = traits.layout(size_of_ring(id));
  id.ring_bytes = shape.bytes;
  id.segment_bytes = id.ring_offset + id.ring_bytes;
  id.places = shape.places;
  id.description_bytes = static_cast<std::uint32_t>(description_bytes);
  return id;
}

described_segment described(const ring_traits& traits, sizes size, seats places) {
  described_segment s;
  s.id = identity_of(traits, size, places, 0);
  if (traits.kind == layout::ring_kind::watch) return s;
  // Where the ring is depends on the length of the text, which says where its places are. The text only grows.
  for (;;) {
    std::string text = describe_segment(s.id, traits.type);
    if (text.size() < s.description.size()) text.resize(s.description.size(), ' ');
    const bool settled = text.size() == s.description.size();
    s.description = std::move(text);
    if (settled) return s;
    s.id = identity_of(traits, size, places, s.description.size());
  }
}

/// The text says which field differs, if the fields are known on both sides.
bool same_type(const described_segment& found, const described_segment& expected, const std::string& label,
               failure& f) {
  if (same("value size", found.id.value_bytes, expected.id.value_bytes, label, f) &&
      same("value alignment", found.id.value_align, expected.id.value_align, label, f) &&
      same("type fingerprint", found.id.type_fingerprint, expected.id.type_fingerprint, label, f)) {
    return true;
  }
  const std::string how = difference_of_types(found.description, expected.description);
  if (!how.empty()) f.what += "; " + how;
  return false;
}

}  // namespace

described_segment segment_for(const ring_traits& traits, const channel_options& options) {
  const sizes size{traits.capacity(capacity_wish(traits, options)), traits.message_bytes(options.message_bytes),
                   static_cast<std::uint64_t>(options.lease_timeout.count())};
  described_segment wanted = described(traits, size, traits.seats_for(options.participants));
  wanted.id.max_deliveries = options.max_deliveries;
  wanted.id.flags = options.lifetime == lifetime::persistent ? layout::flag_persistent : 0;
  wanted.id.bell_mode = options.mode & 0777;
  return wanted;
}

bool plausible(const described_segment& wanted) noexcept {
  const layout::identity& id = wanted.id;
  const std::size_t count = participants(id);
  return id.magic == layout::magic && id.version == layout::version && count != 0 &&
         count <= layout::max_participants && id.description_bytes == wanted.description.size() &&
         id.description_bytes <= layout::max_description &&
         id.header_bytes == layout::header_bytes(count, id.description_bytes) &&
         id.ring_offset >= id.header_bytes && id.ring_offset <= id.segment_bytes &&
         id.ring_bytes == id.segment_bytes - id.ring_offset;
}

bool same(const char* field, std::uint64_t found, std::uint64_t expected, const std::string& label,
          failure& f) {
  return found == expected ||
         refuse(field, std::to_string(found), std::to_string(expected), label, f);
}

// Fields that depend on the capacity come after it, so that the text names the capacity.
bool segment::same_ring(const described_segment& a, const described_segment& b, bool any_capacity,
                        const std::string& label, failure& f) {
  const layout::identity& found = a.id;
  const layout::identity& expected = b.id;
  const bool has_slots = found.message_bytes != 0 && expected.message_bytes != 0;
  return same("layout version", found.version, expected.version, label, f) &&
         same("ring kind", found.kind, expected.kind, label, f) && same_type(a, b, label, f) &&
         ((any_capacity && found.abi_fingerprint == expected.abi_fingerprint) ||
          (same(has_slots ? "number of slots" : "capacity", found.capacity, expected.capacity, label, f) &&
           same("size of the largest message", found.message_bytes, expected.message_bytes, label, f))) &&
         same("ABI fingerprint", found.abi_fingerprint, expected.abi_fingerprint, label, f);
}

bool check_identity(const described_segment& segment_found, std::uint64_t file_bytes,
                    const ring_traits& traits, const channel_options& options,
                    const std::string& label, failure& f) {
  const layout::identity& found = segment_found.id;
  if (found.magic != layout::magic) {
    f = {make_error_code(errc::incompatible), label + ": no magic, this is not a belfry segment"};
    return false;
  }
  // 0 accepts any capacity that this ring can have.
  const std::uint64_t wish = capacity_wish(traits, options);
  sizes size{traits.capacity(wish != 0 ? wish : found.capacity),
             traits.message_bytes(options.message_bytes != 0 ? options.message_bytes : found.message_bytes),
             found.lease_timeout};  // the creator's choice
  if (size.capacity == 0) size.capacity = traits.capacity(0);  // any other, so that the capacities differ
  if (size.message_bytes == 0) size.message_bytes = traits.message_bytes(0);
  // The number of participants, and the text, are the creator's choice.
  const std::size_t seats = std::clamp<std::size_t>(participants(found), 2, layout::max_participants);
  const std::size_t text = std::min<std::size_t>(found.description_bytes, layout::max_description);
  described_segment wanted{identity_of(traits, size, traits.seats_for(seats), text), {}};
  const layout::identity& expected = wanted.id;
  if (found.type_fingerprint != traits.type_fingerprint && traits.type != nullptr) {
    wanted.description = describe_segment(expected, traits.type);
  }
  return segment::same_ring(segment_found, wanted, false, label, f) &&
         same("number of producers", found.producers, expected.producers, label, f) &&
         same("number of consumers", found.consumers, expected.consumers, label, f) &&
         same("size of the description", found.description_bytes, expected.description_bytes, label, f) &&
         same("header size", found.header_bytes, expected.header_bytes, label, f) &&
         same("ring offset", found.ring_offset, expected.ring_offset, label, f) &&
         same("ring size", found.ring_bytes, expected.ring_bytes, label, f) &&
         (found.places == expected.places || refuse("place of its values", "another one", "that of this ring", label, f)) &&
         same("segment size", found.segment_bytes, expected.segment_bytes, label, f) &&
         same("size of the file", file_bytes, expected.segment_bytes, label, f);
}

described_segment segment::describe(const ring_traits& traits, const channel_options& options,
                                    failure& f) {
  return check_options(traits, options, f) ? segment_for(traits, options) : described_segment();
}

}  // namespace belfry::detail
