// Which segments an any_ring or any_call_ring takes: every one whose header is sound. Nothing of the header is used that was
// not checked here.
#include <belfry/detail/ring/any.hpp>
#include <belfry/detail/ring/any_call.hpp>

#include "description.hpp"
#include "identity.hpp"

#include <belfry/detail/layout/layout.hpp>
#include <belfry/ring/byte_call_ring.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace belfry::detail {
namespace {

/// What is needed of a ring's traits once its segment is joined.
template <class Algorithm>
constexpr ring_traits traits_of(layout::ring_kind kind, seats most, bool competing, bool never_full) {
  ring_traits t = any_ring::traits;
  t.kind = kind;
  t.most = most;
  t.drained = Algorithm::drained;
  t.recover = Algorithm::recover;
  t.competing = competing;
  t.redelivers = kind == layout::ring_kind::work;
  t.never_full = never_full;
  t.chosen_capacity = false;
  t.chosen_seats = most.all() > 2;
  t.any = false;
  t.of_segment = nullptr;
  return t;
}

constexpr seats one_to_one{1, 1};
constexpr seats one_to_many{1, layout::max_participants - 1};
constexpr seats many_to_many{layout::max_participants / 2, layout::max_participants / 2};

constexpr ring_traits spsc = traits_of<any_ring::spsc>(layout::ring_kind::spsc, one_to_one, false, false);
constexpr ring_traits work = traits_of<any_ring::work>(layout::ring_kind::work, many_to_many, true, false);
constexpr ring_traits blocking =
    traits_of<any_ring::blocking>(layout::ring_kind::broadcast, one_to_many, false, false);
constexpr ring_traits overwriting =
    traits_of<any_ring::overwriting>(layout::ring_kind::broadcast, one_to_many, false, true);
constexpr ring_traits newest = traits_of<any_ring::newest>(layout::ring_kind::latest, one_to_many, false, true);

/// Also of a byte_call_ring.
constexpr ring_traits calls = [] {
  ring_traits t = any_call_ring::traits;
  t.chosen_messages = false;
  t.any = false;
  t.of_segment = nullptr;
  return t;
}();

const ring_traits* traits_for(const layout::identity& id) {
  switch (id.kind) {
    case layout::ring_kind::spsc: return &spsc;
    case layout::ring_kind::byte: return &byte_ring::traits;
    case layout::ring_kind::work: return &work;
    case layout::ring_kind::broadcast: return id.abi_fingerprint == 0 ? &blocking : &overwriting;
    case layout::ring_kind::latest: return &newest;
    case layout::ring_kind::byte_broadcast:
      return id.abi_fingerprint == 0 ? &byte_broadcast_ring<overflow::block>::traits
                                     : &byte_broadcast_ring<overflow::overwrite>::traits;
    case layout::ring_kind::byte_work: return &byte_work_ring::traits;
    case layout::ring_kind::call: return &calls;
    case layout::ring_kind::watch: break;
  }
  return nullptr;
}

/// Whether a ring with a place for each message has the sizes and places of its kind.
bool has_message_places(const layout::identity& id, const ring_traits& traits) {
  if (id.value_bytes != 0 || id.capacity == 0 || traits.capacity(id.capacity) != id.capacity) return false;
  if (id.message_bytes == 0 || traits.message_bytes(id.message_bytes) != id.message_bytes) return false;
  const ring_layout shape = traits.layout(size_of_ring(id));
  return id.ring_bytes == shape.bytes && id.places == shape.places;
}

/// The same for the places of calls.
bool has_call_places(const layout::identity& id) {
  if (id.value_bytes == 0) return has_message_places(id, byte_call_ring::traits);
  const layout::geometry& g = id.places;
  return id.capacity != 0 && id.message_bytes == 0 && g.places == id.capacity && g.value == sizeof(layout::call_place) &&
         g.stride % alignof(layout::call_place) == 0 && g.first % alignof(layout::call_place) == 0 &&
         places_fit(g, id.ring_bytes, sizeof(layout::call_control), id.value_bytes, false, false);
}

/// Whether the values of a ring lie where its kind has them, and within the ring.
bool has_its_places(const layout::identity& id) {
  const layout::geometry& g = id.places;
  if (id.kind != layout::ring_kind::spsc && (g.written != 0 || g.read != 0)) return false;
  const auto fit = [&](std::uint64_t control, bool worded) {
    return g.places == id.capacity && places_fit(g, id.ring_bytes, control, id.value_bytes, true, worded);
  };
  const auto fits_before_times = [&](std::uint64_t control) {
    if (id.lease_timeout == 0) return fit(control, true);
    if (id.ring_bytes % 8 != 0 || id.capacity > id.ring_bytes / 8) return false;
    const std::uint64_t end = id.ring_bytes - layout::lease_times_bytes(id.capacity, id.lease_timeout);
    return g.places == id.capacity && places_fit(g, end, control, id.value_bytes, true, true);
  };
  switch (id.kind) {
    case layout::ring_kind::spsc:
      return id.capacity != 0 && g.places - 1 == id.capacity &&
             places_fit(g, id.ring_bytes, 0, id.value_bytes, false, false) && index_fits(g.written, id.ring_bytes) &&
             index_fits(g.read, id.ring_bytes);
    case layout::ring_kind::work: return fits_before_times(sizeof(layout::work_control));
    case layout::ring_kind::broadcast:
      return fit(id.abi_fingerprint == 0 ? any_ring::blocking::first_place(participants(id))
                                         : any_ring::overwriting::first_place(participants(id)),
                 true);
    case layout::ring_kind::latest:
      return id.capacity == 1 && g.places == layout::latest_control::places &&
             places_fit(g, id.ring_bytes, sizeof(layout::latest_control), id.value_bytes, true, false);
    case layout::ring_kind::byte: {
      if (id.value_bytes != 0 || id.capacity == 0 || byte_ring::traits.capacity(id.capacity) != id.capacity) return false;
      const ring_layout shape = byte_ring::traits.layout(size_of_ring(id));
      return id.ring_bytes == shape.bytes && g == shape.places;
    }
    case layout::ring_kind::byte_broadcast:
    case layout::ring_kind::byte_work: return has_message_places(id, *traits_for(id));
    case layout::ring_kind::call: return has_call_places(id);
    case layout::ring_kind::watch: break;
  }
  return false;
}

}  // namespace

const ring_traits* traits_of_segment(const layout::identity& found, std::uint64_t file_bytes, const std::string& label,
                                     failure& f) {
  const auto refuse = [&](const std::string& what) {
    f = {make_error_code(errc::incompatible), label + ": " + what};
    return nullptr;
  };
  if (found.magic != layout::magic) return refuse("no magic, this is not a belfry segment");
  if (!same("layout version", found.version, layout::version, label, f)) return nullptr;
  if (found.kind == layout::ring_kind::watch) return refuse("it is the companion of a block, and no channel");
  const ring_traits* const ring = traits_for(found);
  if (ring == nullptr)
    return refuse("the ring kind is " + std::to_string(static_cast<std::uint32_t>(found.kind)) + ", which is unknown");

  const std::size_t count = participants(found);
  if (count < 2 || count > layout::max_participants)
    return refuse("the number of participants is " + std::to_string(count));
  if (found.description_bytes > layout::max_description)
    return refuse("the size of the description is " + std::to_string(found.description_bytes));
  const seats expected = ring->seats_for(count);
  if (!same("number of producers", found.producers, expected.producers, label, f) ||
      !same("number of consumers", found.consumers, expected.consumers, label, f) ||
      !same("header size", found.header_bytes, layout::header_bytes(count, found.description_bytes), label, f) ||
      !same("size of the file", file_bytes, found.segment_bytes, label, f)) {
    return nullptr;
  }
  if (found.ring_offset < found.header_bytes || found.ring_offset > found.segment_bytes ||
      found.ring_offset % layout::cache_line != 0) {
    return refuse("the ring offset is " + std::to_string(found.ring_offset));
  }
  if (!same("ring size", found.ring_bytes, found.segment_bytes - found.ring_offset, label, f)) return nullptr;
  if (!has_its_places(found)) return refuse("the place of its values is impossible");
  return ring;
}

const ring_traits* any_ring::of_segment(const layout::identity& found, std::uint64_t file_bytes,
                                        const std::string& label, failure& f) {
  const ring_traits* const ring = traits_of_segment(found, file_bytes, label, f);
  if (ring != &calls) return ring;
  f = {make_error_code(errc::incompatible), label + ": it is a channel of calls, which has clients and servers"};
  return nullptr;
}

const ring_traits* any_call_ring::of_segment(const layout::identity& found, std::uint64_t file_bytes,
                                             const std::string& label, failure& f) {
  const ring_traits* const ring = traits_of_segment(found, file_bytes, label, f);
  if (ring == nullptr || ring == &calls) return ring;
  f = {make_error_code(errc::incompatible),
       label + ": the ring is a " + std::string(layout::name_of(found.kind)) + ", and has no calls"};
  return nullptr;
}

call_rooms any_call_ring::rooms(const ring_memory& memory, std::string_view type, const std::string& label, failure& f) {
  if (memory.value_bytes == 0) return call_rooms::of_messages(memory.message_bytes);
  std::string error;
  const std::optional<description> both = parse_description(type, error);
  // What was parsed lies within its bytes.
  if (both && both->bytes == memory.value_bytes && both->fields.size() == 2 && both->fields[0].name == "request" &&
      both->fields[1].name == "reply") {
    const described_field& request = both->fields[0];
    const described_field& reply = both->fields[1];
    return {request.offset, request.type.bytes, reply.offset, reply.type.bytes, true};
  }
  f = {make_error_code(errc::incompatible), label + ": it does not tell where its requests and replies are"};
  return {};
}

}  // namespace belfry::detail
