// A block that starts with the control header: created complete or not at all, checked before use.
#pragma once

#include <belfry/channel_options.hpp>
#include <belfry/detail/platform/mapping.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/detail/layout/layout.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail {

/// The longest name of a segment: its bells are named after it, `<name>.bell.63`.
inline constexpr std::size_t max_segment_name = 255 - 8;

/// Of these permission bits those of a participant: of the owner, the group and all others each has both, reading
/// and writing, or nothing.
constexpr unsigned participants_mode(unsigned mode) noexcept {
  return mode & ((mode >> 1 & mode >> 2 & 0111) * 7);
}

std::string bell_name(std::string_view segment, std::size_t slot);

/// The handles by which peers without a name meet: the block, and a bell for every slot.
struct segment_handles {
  unique_handle block;
  std::vector<unique_handle> bells;
};

/// The block that a companion segment belongs to; none for a channel.
struct subject {
  std::string name;
  std::uint64_t id = 0;
  std::uint64_t owner = 0;  // a user who is trusted, as root is: its block has been opened
  std::uint64_t group = 0;
};

/// What a manager keeps for a participant that it has let in. Dropped without a word it means that the
/// participant has died.
class manager_session {
 public:
  virtual ~manager_session() = default;
  /// `drained`: the last one has left, and nothing is unread.
  virtual void leave(bool drained) noexcept = 0;
};

/// One endpoint's view of a segment. Every endpoint has a file description of its own, because locks,
/// and with them liveness, belong to descriptions.
class segment {
 public:
  segment() noexcept = default;

  /// Opens the named segment, or creates it if there is none. Whoever comes first creates. The
  /// companion of a block says which one it belongs to: another may have got the block's name.
  static segment create_or_open(std::string_view name, const ring_traits& traits,
                                const channel_options& options, failure& f,
                                const subject& block = {});

  /// Attaches to a segment that someone has handed over; a manager, if there is a session.
  static segment attach(const segment_handles& handles, const ring_traits& traits,
                        const channel_options& options, failure& f,
                        std::unique_ptr<manager_session> session = nullptr);

  /// A segment without a name, to be handed over.
  static segment_handles create_anonymous(const ring_traits& traits, const channel_options& options,
                                          failure& f);

  /// What the header of a new segment says of its ring.
  static layout::identity describe(const ring_traits& traits, const channel_options& options,
                                   failure& f);
  /// A segment without a name from such a description, for whoever does not know the ring itself: a ring
  /// without any values is a ring of zeros.
  static segment_handles create_described(layout::identity id, failure& f);
  /// Whether this description is of the same ring as that one. Else `errc::incompatible`.
  static bool same_ring(const layout::identity& found, const layout::identity& expected,
                        bool any_capacity, const std::string& who, failure& f);

  /// Removes a named segment and its bells, whatever is left in it. Waits, for up to a second, for the roster's
  /// lock.
  static bool unlink(std::string_view name, std::size_t participants, failure& f);

  const std::string& name() const noexcept { return name_; }  // empty if it has none
  bool named() const noexcept { return !name_.empty(); }
  /// What texts call it.
  std::string title() const { return named() ? '"' + name_ + '"' : "the channel"; }
  const unique_handle& block() const noexcept { return block_; }
  const ring_traits& traits() const noexcept { return *traits_; }

  layout::control_header& header() const noexcept {
    return *reinterpret_cast<layout::control_header*>(map_.data());
  }
  layout::participant_slot& slot(std::size_t index) const noexcept {
    return reinterpret_cast<layout::participant_slot*>(map_.data() +
                                                       sizeof(layout::control_header))[index];
  }
  const ring_memory& ring() const noexcept { return ring_; }

  /// The companion of a block that has lost its name to ours.
  bool outdated() const noexcept { return id_.subject != subject_.id; }
  /// The block that this is a companion of has no name any more, so that what is left in it is for no participant.
  bool has_lost_subject() const noexcept;
  /// Takes the name from an outdated companion; those who are in it go on. Under its roster's lock.
  bool replace(failure& f);
  /// Copies of what was checked at attachment; the shared originals are never read again.
  bool persistent() const noexcept { return (id_.flags & layout::flag_persistent) != 0; }
  unsigned bell_mode() const noexcept { return id_.bell_mode; }
  const unique_handle& anonymous_bell(std::size_t slot) const noexcept { return bells_[slot]; }
  /// Without a name, deaths are told by pid; that is the same for all who are in one PID namespace.
  bool knows_pids() const noexcept { return knows_pids_; }

  /// The bell of a slot; under the roster's lock. That of a segment which has lost its name may be a namesake's.
  void remove_bell(std::size_t slot) const noexcept;

  /// Nothing is unread and no participant is left, or the last one is leaving: the segment is not needed any
  /// more. Under the roster's lock.
  void discard() noexcept;
  /// One's own membership has ended in good order.
  void departed() noexcept;

  /// Gives up the file description, and with it every lock; the memory stays mapped.
  void release_block() noexcept;

 private:
  bool check(const channel_options& options, failure& f);
  bool map(failure& f);

  std::string name_;
  const ring_traits* traits_ = nullptr;
  unique_handle block_;
  std::vector<unique_handle> bells_;
  layout::identity id_{};
  subject subject_;
  bool knows_pids_ = true;
  bool discarded_ = false;
  std::unique_ptr<manager_session> session_;
  mapping map_;
  ring_memory ring_;
};

}  // namespace belfry::detail
