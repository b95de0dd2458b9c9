#include "ring_fill.hpp"

#include "identity.hpp"
#include "ring_reader.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace belfry::detail {
namespace {

/// Where two positions are in a segment: what was sent, and what was received.
struct positions {
  std::uint64_t sent;
  std::uint64_t received;
};

class fill_reader {
 public:
  fill_reader(const unique_handle& block, const layout::identity& id, bool quick)
      : ring_(block, id), id_(id), quick_(quick) {}

  ring_fill read() {
    switch (id_.kind) {
      case layout::ring_kind::spsc: of_queue(); break;
      case layout::ring_kind::byte: of_bytes(); break;
      case layout::ring_kind::work:
      case layout::ring_kind::byte_work: quick_ ? of_hints() : of_work(); break;
      case layout::ring_kind::broadcast: of_broadcast(); break;
      case layout::ring_kind::latest: of_latest(); break;
      case layout::ring_kind::byte_broadcast: id_.abi_fingerprint == 0 ? of_broadcast() : of_held(); break;
      case layout::ring_kind::call: of_calls(); break;
      case layout::ring_kind::watch: break;
    }
    return std::move(fill_);
  }

 private:
  /// More bytes, or slots that are read one by one, are not searched for work items: it could take longer than its reader
  /// wants to wait.
  static constexpr std::uint64_t most_searched = std::uint64_t{64} << 20;
  static constexpr std::uint64_t most_slots = std::uint64_t{1} << 18;
  static constexpr std::uint64_t chunk = 64 << 10;
  /// Nor are more places looked at one by one, where that happens many times a second.
  static constexpr std::uint64_t most_counted = 4096;
  /// In more places it is not looked for holders.
  static constexpr std::uint64_t most_places = 4096;

  void corrupted(const char* what) {
    fill_.problem = std::string("the ring is corrupted: ") + what;
  }

  bool read(std::uint64_t offset, std::span<std::byte> out) const { return ring_.read(offset, out); }
  bool read(std::uint64_t offset, std::uint64_t& word) const { return ring_.read(offset, word); }

  /// The positions may move between two reads. Only if `received` has not is it certain that they belong together, and
  /// that `possible` has to hold; a ring that streams is never seen like that.
  template <class Possible>
  std::optional<positions> read_positions(positions at, const char* impossible, Possible possible) {
    bool moved = false;
    positions p{};
    for (int attempt = 0; attempt != 8; ++attempt) {
      std::uint64_t again = 0;
      if (!read(at.received, p.received) || !read(at.sent, p.sent) || !read(at.received, again)) {
        corrupted("it is too short");
        return {};
      }
      if (again == p.received && possible(p)) return p;
      moved = moved || again != p.received;
    }
    if (moved) return p;
    corrupted(impossible);
    return {};
  }

  bool has_slots() {
    const bool inside = id_.kind == layout::ring_kind::byte_work ? ring_.has_messages() : ring_.has_slots();
    if (!inside) corrupted("its values would lie outside");
    return inside;
  }
  bool has_messages() {
    const bool inside = ring_.has_messages();
    if (!inside) corrupted("its messages would lie outside");
    return inside;
  }
  std::uint64_t word_at(std::uint64_t place) const { return ring_.offset_of(place); }

  void of_bytes() {
    const auto p = read_positions(
        {offsetof(layout::byte_ring_control, tail), offsetof(layout::byte_ring_control, head)},
        "its positions are further apart than its capacity",
        [&](const positions& q) { return q.sent - q.received <= id_.capacity; });
    if (p) fill_.unread = std::min(p->sent - p->received, id_.capacity);
  }

  void of_latest() {
    if (id_.capacity != 1) return corrupted("its capacity is impossible");
    const auto p = read_positions(
        {offsetof(layout::latest_control, version), offsetof(layout::latest_control, read)},
        "a version was received that was not sent",
        [](const positions& q) { return q.received <= q.sent; });
    if (p) fill_.unread = p->sent > p->received ? 1 : 0;
  }

  void of_broadcast() {
    using control = layout::broadcast_control;
    const bool blocks = id_.abi_fingerprint == 0;
    if (!(id_.value_bytes == 0 ? has_messages() : has_slots())) return;
    const auto p =
        read_positions({offsetof(control, tail), offsetof(control, received)},
                       "a value was received that was not sent", [](const positions& q) {
                         return q.sent < std::uint64_t{1} << 62 && q.received <= q.sent + 1;
                       });
    if (!p) return;
    // A producer that died may have sent one more, see broadcast_control.
    std::uint64_t end = p->sent;
    std::uint64_t stamp = 0;
    if (read(word_at(end % id_.capacity), stamp) && stamp == layout::broadcast_whole(end)) ++end;
    fill_.unread = end > p->received ? std::min(end - p->received, id_.capacity) : 0;
    if (blocks) of_cursors(end);
  }

  void of_cursors(std::uint64_t end) {
    using control = layout::broadcast_control;
    std::array<std::uint64_t, 4> attached{};
    static_assert(sizeof attached == sizeof(control::attached));
    if (!read(offsetof(control, attached), std::as_writable_bytes(std::span(attached)))) return;
    for (std::size_t slot = 0; slot != participants(id_); ++slot) {
      std::uint64_t position = 0;
      if ((attached[slot / 64] >> slot % 64 & 1) != 0 &&
          read(sizeof(control) + slot * sizeof(layout::broadcast_cursor), position)) {
        fill_.behind[slot] = end > position ? std::min(end - position, id_.capacity) : 0;
      }
    }
  }

  void of_held() {
    using control = layout::held_broadcast_control;
    using header = layout::held_message_header;
    if (!has_messages() || id_.places.value != sizeof(header)) return corrupted("its messages would lie outside");
    const auto p = read_positions({offsetof(control, sent), offsetof(control, received)},
                                  "a message was received that was not sent",
                                  [](const positions& q) { return q.received <= q.sent + 1; });
    if (!p) return;
    // A producer that died may have sent one more, see held_broadcast_control.
    std::uint64_t end = p->sent;
    std::uint64_t tail = 0;
    std::uint64_t stamp = 0;
    std::uint64_t number = 0;
    if (read(offsetof(control, tail), tail) && read(word_at(tail % id_.capacity), stamp) &&
        stamp == layout::held_whole(tail) && read(word_at(tail % id_.capacity) + offsetof(header, number), number) &&
        number == end) {
      ++end;
    }
    fill_.unread = end > p->received ? std::min(end - p->received, id_.capacity) : 0;
    of_holders();
  }

  void of_holders() {
    if (id_.capacity > most_places) return;
    std::array<std::uint64_t, 4> holders{};
    static_assert(sizeof holders == sizeof(layout::held_message_header::holders));
    for (std::size_t slot = id_.producers; slot != participants(id_); ++slot) fill_.held[slot] = 0;
    for (std::uint64_t place = 0; place != id_.capacity; ++place) {
      const std::uint64_t at = word_at(place) + offsetof(layout::held_message_header, holders);
      if (!read(at, std::as_writable_bytes(std::span(holders)))) return corrupted("it is too short");
      for (std::size_t slot = id_.producers; slot != participants(id_); ++slot)
        *fill_.held[slot] += holders[slot / 64] >> slot % 64 & 1;
    }
  }

  void of_work() {
    if (!has_slots()) return;
    if (!read(offsetof(layout::work_control, dropped), fill_.dropped.emplace())) return corrupted("it is too short");
    const std::uint64_t each = id_.places.stride;
    // As many slots at a time as fill a chunk; of large ones only the word.
    const std::uint64_t together = std::max<std::uint64_t>(chunk / each, 1);
    if (together == 1 ? id_.capacity > most_slots : id_.ring_bytes > most_searched) return;
    std::vector<std::uint64_t> words(together == 1 ? 1 : together * each / 8);
    std::uint64_t unread = 0;
    std::uint64_t dead = 0;
    std::uint64_t last_lap = 0;
    for (std::uint64_t first = 0; first < id_.capacity; first += together) {
      const std::uint64_t count = std::min(together, id_.capacity - first);
      const std::span part(words.data(), together == 1 ? 1 : count * each / 8);
      if (!read(word_at(first), std::as_writable_bytes(part)))
        return corrupted("it is too short");
      for (std::uint64_t i = 0; i != count; ++i) {
        const auto word = layout::work_word::from(part[i * each / 8]);
        if (!word.valid()) return corrupted("a slot has an impossible state");
        unread +=
            word.state == layout::work_state::ready || word.state == layout::work_state::leased;
        dead += word.state == layout::work_state::dead || word.state == layout::work_state::dead_leased;
        last_lap = std::max(last_lap, word.lap);
      }
    }
    std::uint64_t tail = 0;  // after the words: it only grows
    if (!read(offsetof(layout::work_control, tail), tail)) return corrupted("it is too short");
    if (last_lap > tail / id_.capacity + layout::work_word::most_ahead) return corrupted("a slot has an impossible lap");
    fill_.unread = unread;
    fill_.dead = dead;
  }

  /// Every call that has a place, however far it is. They are counted one by one also in a quick look, since nothing else
  /// tells their number.
  void of_calls() {
    const layout::geometry& g = id_.places;
    const bool inside = g.places == id_.capacity && g.places != 0 && g.stride >= sizeof(layout::call_place) &&
                        g.first >= sizeof(layout::call_control) && g.first <= id_.ring_bytes &&
                        g.places <= (id_.ring_bytes - g.first) / g.stride;
    if (!inside) return corrupted("its values would lie outside");
    if (g.stride % 8 != 0) return corrupted("its values would lie outside");
    if (id_.ring_bytes > most_searched || (quick_ && g.places > most_counted)) return;
    const std::uint64_t together = std::max<std::uint64_t>(chunk / g.stride, 1);
    std::vector<std::uint64_t> words(together == 1 ? 1 : together * g.stride / 8);
    std::uint64_t calls = 0;
    for (std::uint64_t first = 0; first < g.places; first += together) {
      const std::uint64_t count = std::min(together, g.places - first);
      const std::span part(words.data(), together == 1 ? 1 : count * g.stride / 8);
      if (!read(word_at(first), std::as_writable_bytes(part))) return corrupted("it is too short");
      for (std::uint64_t i = 0; i != count; ++i)
        calls += layout::call_word::from(part[i * g.stride / 8]).state != layout::call_state::free;
    }
    fill_.unread = calls;
  }

  /// The hints may be wrong, and are never impossible.
  void of_hints() {
    std::uint64_t tail = 0;
    std::uint64_t head = 0;
    if (!read(offsetof(layout::work_control, head), head) || !read(offsetof(layout::work_control, tail), tail))
      return corrupted("it is too short");
    fill_.unread = tail > head ? std::min(tail - head, id_.capacity) : 0;
  }

  void of_queue() {
    const std::uint64_t places = id_.places.places;
    if (id_.capacity >= id_.ring_bytes || places != id_.capacity + 1) return corrupted("its capacity is impossible");
    const auto p =
        read_positions({id_.places.written, id_.places.read}, "an index is outside",
                       [&](const positions& q) { return q.sent < places && q.received < places; });
    if (!p || p->sent >= places || p->received >= places) return;
    fill_.unread = p->sent >= p->received ? p->sent - p->received : places - p->received + p->sent;
  }

  const ring_reader ring_;
  const layout::identity& id_;
  const bool quick_;
  ring_fill fill_;
};

}  // namespace

ring_fill fill_of(const unique_handle& block, const layout::identity& id) {
  return fill_reader(block, id, false).read();
}

ring_fill quick_fill_of(const unique_handle& block, const layout::identity& id) {
  return fill_reader(block, id, true).read();
}

}  // namespace belfry::detail
