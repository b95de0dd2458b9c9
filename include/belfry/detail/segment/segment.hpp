// A block that starts with the control header: created complete or not at all, checked before use.
#pragma once

#include <belfry/channel_options.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/platform/mapping.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/detail/layout/layout.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail {

/// The longest name of a segment, in bytes: the names of its bells, `<name>.bell.249`, must fit, too.
inline constexpr std::size_t max_segment_name = 255 - 9;

/// The permission bits that let a process participate: owner, group and others each keep theirs only if they may both
/// read and write.
constexpr unsigned participants_mode(unsigned mode) noexcept {
  return mode & ((mode >> 1 & mode >> 2 & 0111) * 7);
}

std::string bell_name(std::string_view segment, std::size_t slot);
/// The segment whose bell could have this name; none if it is no bell's name.
std::optional<std::string_view> segment_of_bell(std::string_view name) noexcept;

/// The handles of a segment without a name: the block, and a bell for every slot.
struct segment_handles {
  unique_handle block;
  std::vector<unique_handle> bells;
};

/// What does not change of a segment: a header, and the text behind the roster.
struct described_segment {
  layout::identity id{};
  std::string description;
};

/// The block that a companion segment belongs to; none for a channel.
struct subject {
  std::string name;
  std::uint64_t id = 0;
  std::uint64_t owner = 0;  // trusted, as root is: its block has been opened
  std::uint64_t group = 0;
};

/// A participant's session with the manager of its channel. If it is destroyed without leave(), the manager takes the
/// participant for dead.
class manager_session {
 public:
  virtual ~manager_session() = default;
  /// `drained`: the last participant has left, and nothing is unread.
  virtual void leave(bool drained) noexcept = 0;
};

/// One endpoint's view of a segment. Every endpoint has its own file description, because locks, and so liveness,
/// belong to descriptions.
class segment {
 public:
  segment() noexcept = default;

  /// Opens the named segment, or creates it if there is none, unless the ring only takes what is there. `block` is the
  /// block that a companion belongs to: the block's name may mean another block by now.
  static segment create_or_open(std::string_view name, const ring_traits& traits,
                                const channel_options& options, failure& f,
                                const subject& block = {});

  /// Attaches to a segment whose handles were received; with a session, from a manager.
  static segment attach(const segment_handles& handles, const ring_traits& traits,
                        const channel_options& options, failure& f,
                        std::unique_ptr<manager_session> session = nullptr);

  /// Creates a segment without a name; its handles are to be passed to other processes.
  BELFRY_API static segment_handles create_anonymous(const ring_traits& traits, const channel_options& options,
                                                     failure& f);

  /// The header of a new segment for this ring.
  static described_segment describe(const ring_traits& traits, const channel_options& options,
                                    failure& f);
  /// Creates a segment without a name from such a header, for a process that does not know the ring type: all bytes of
  /// an empty ring are zero.
  static segment_handles create_described(const described_segment& wanted, failure& f);
  /// The same with a name, which gets the segment when it is complete. False: `file_exists`, or another error.
  static bool create_as_described(std::string_view name, const described_segment& wanted, unsigned mode, failure& f);
  /// Whether both headers describe the same ring. If not, `f` is `errc::incompatible`; its text begins with `label`.
  static bool same_ring(const described_segment& found, const described_segment& expected,
                        bool any_capacity, const std::string& label, failure& f);

  /// Removes a named segment and its bells, even if values are unread. Waits up to a second for the roster's lock.
  BELFRY_API static bool unlink(std::string_view name, failure& f);

  const std::string& name() const noexcept { return name_; }  // empty if it has none
  bool named() const noexcept { return !name_.empty(); }
  /// Its name in error texts.
  std::string title() const { return named() ? '"' + name_ + '"' : "the channel"; }
  const unique_handle& block() const noexcept { return block_; }
  /// Of the ring that it has.
  const ring_traits& traits() const noexcept { return *traits_; }

  layout::control_header& header() const noexcept {
    return *reinterpret_cast<layout::control_header*>(map_.data());
  }
  layout::participant_slot& slot(std::size_t index) const noexcept {
    return reinterpret_cast<layout::participant_slot*>(map_.data() +
                                                       sizeof(layout::control_header))[index];
  }
  const ring_memory& ring() const noexcept { return ring_; }
  /// How many participants it has room for.
  seats places() const noexcept { return {id_.producers, id_.consumers}; }
  std::size_t participants() const noexcept { return places().all(); }

  /// It is the companion of another block, which had the name of ours before.
  bool outdated() const noexcept { return id_.subject != subject_.id; }
  /// The block of this companion has lost its name, so no later participant needs what the companion contains.
  bool has_lost_subject() const noexcept;
  /// Unlinks an outdated companion; its participants continue. Under its roster's lock.
  bool replace(failure& f);
  /// These are copies, checked while attaching; the shared originals are never read again.
  bool persistent() const noexcept { return (id_.flags & layout::flag_persistent) != 0; }
  unsigned bell_mode() const noexcept { return id_.bell_mode; }
  const unique_handle& anonymous_bell(std::size_t slot) const noexcept { return bells_[slot]; }
  /// Without a name, deaths are noticed by pid, which has the same meaning only within one PID namespace.
  bool knows_pids() const noexcept { return knows_pids_; }

  /// Removes the bell of a slot, but not the bell of another segment that now has this name. Under the roster's lock.
  void remove_bell(std::size_t slot) const noexcept;

  /// Removes the segment, which no participant needs any more. Under the roster's lock.
  void discard() noexcept;
  /// Ends the session with the manager: this participant has left.
  void departed() noexcept;

  /// Closes the file description, which releases all its locks. The memory stays mapped.
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
