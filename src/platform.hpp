// The one interface between Belfry and an operating system, implemented in src/posix/. Everything
// above it is the same on every platform. Nothing here knows a ring, a roster or Asio.
//
// Functions report failure through `failure&`, whose text names the object that was worked on.
#pragma once

#include <belfry/detail/mapping.hpp>
#include <belfry/detail/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belfry::platform {

using detail::failure;
using detail::mapping;
using detail::unique_handle;

// ---- handles ------------------------------------------------------------------------------------

/// Owns a new handle, moved out of the way if need be: no handle of ours is one of the standard streams,
/// whatever of these the program has closed. Empty, with the system's error left as it is, if that fails, and
/// for what was none to begin with.
unique_handle above_standard(native_handle_type handle) noexcept;

/// Whether this is the number of a standard stream.
bool is_standard(native_handle_type handle) noexcept;

/// Opens what is missing of the standard streams, for a program that is ours as a whole: the reactor's handles
/// are Asio's to open. They lead nowhere.
void fill_standard_streams() noexcept;

/// The user and the group that something belongs to, and its permission bits; root's, and none, also if the
/// system does not tell.
struct ownership {
  std::uint64_t user = 0;
  std::uint64_t group = 0;
  unsigned mode = 0;
};
ownership ownership_of(const unique_handle& handle) noexcept;
/// Gives what was made beside a block, and for its users, this group and mode. A group that the caller may not give
/// does not matter if the mode lets in all users, or no group. What root has made for the block of another user
/// becomes that user's: else it would be out of its reach.
bool give_to_users(const unique_handle& made, const ownership& as, failure& f);
/// Whether what lies under a name may be trusted with what is ours: its owner is this user, root, or `trusted`, or
/// one of those that `mode`, the caller's own wish, lets in. Else `permission_denied`, and the text names the owner.
bool check_owner(const unique_handle& handle, std::string_view name, unsigned mode,
                 std::uint64_t trusted, failure& f);

// ---- named blocks -------------------------------------------------------------------------------

/// Longest name of a block in bytes.
inline constexpr std::size_t max_name = 255;

/// Rejects what could not name a block: empty, `.`, `..`, a slash, an embedded NUL, longer than `max`.
bool check_name(std::string_view name, std::size_t max, failure& f);

/// A block that has no name yet, all its bytes zero and really there, so that a full memory is
/// reported now and not by a signal later.
unique_handle new_block(std::uint64_t bytes, unsigned mode, failure& f);

/// Gives a nameless block its name in one step; nobody ever sees it half-built.
/// `std::errc::file_exists` if the name is taken.
bool publish_block(const unique_handle& block, std::string_view name, failure& f);

unique_handle open_block(std::string_view name, bool writable, failure& f);
bool unlink_block(std::string_view name, failure& f);

/// The names of all that lies where blocks are.
std::vector<std::string> block_names();

/// Whether the block has a name still; without one nobody will ever join it.
bool has_name(const unique_handle& block) noexcept;

/// Whether this user may remove its name; root may always.
bool owns(const unique_handle& block) noexcept;

/// Whether the name still means this block.
bool is_name_of(std::string_view name, const unique_handle& block) noexcept;
/// Removes the name if it still means this block. The system cannot do both at once: all who remove the names of
/// such blocks must hold the same lock.
void unlink_this_block(std::string_view name, const unique_handle& block) noexcept;

/// A block without a name for ever, sealed against a change of its size.
unique_handle new_anonymous_block(std::uint64_t bytes, failure& f);
/// Whether a handle that came from somewhere else is such a block: else its memory could be taken away while it is
/// used. `errc::incompatible`, and the text says what is wrong. Opens nothing.
bool check_sealed(const unique_handle& block, failure& f);

/// An open file description of one's own for the same block: locks belong to descriptions.
unique_handle reopen_block(native_handle_type block, bool writable, failure& f);

/// Tells a block, or a bell, from another that had the same name; 0 if there is none.
std::uint64_t id_of(const unique_handle& handle) noexcept;
std::uint64_t named_block_id(std::string_view name) noexcept;

/// Whether nobody but the caller, who has opened it once and not mapped it, has the block open or mapped.
/// False also where the system does not tell, as it does not of somebody else's block.
bool is_unused_by_others(const unique_handle& block) noexcept;

std::uint64_t block_size(const unique_handle& block, failure& f);

/// Copies the block's first bytes; false if it has fewer. Never faults, whoever truncates the file.
bool peek_block(const unique_handle& block, std::span<std::byte> out) noexcept;

std::size_t page_size() noexcept;

/// Maps `bytes` of the block. The last `mirrored` bytes of it are mapped a second time right behind,
/// so that a record which crosses the end of a ring is contiguous all the same.
mapping map_block(const unique_handle& block, std::uint64_t bytes, std::uint64_t mirrored,
                  bool writable, failure& f);

// ---- locks on single bytes of a block, dropped by the kernel with their holder --------------------

bool lock_byte(const unique_handle& block, std::uint64_t offset) noexcept;  // waits
bool try_lock_byte(const unique_handle& block, std::uint64_t offset) noexcept;
void unlock_byte(const unique_handle& block, std::uint64_t offset) noexcept;
bool is_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept;

// ---- files that a server keeps about itself --------------------------------------------------------

/// Where they are, for this user alone; created if it is not there.
std::string run_directory(failure& f);
bool use_directory(const std::string& path, failure& f);
std::vector<std::string> files_in(const std::string& directory);

unique_handle open_file(const std::string& path, bool create, failure& f);
std::uint64_t file_id(const std::string& path) noexcept;  // as id_of(); 0 if there is none
std::string read_file(const unique_handle& file, failure& f);
/// All of it, or, if it fails, nothing.
bool append_to_file(const unique_handle& file, std::string_view bytes, failure& f);
bool truncate_file(const unique_handle& file, std::uint64_t bytes, failure& f);
bool rename_file(const std::string& from, const std::string& to, failure& f);
void remove_file(const std::string& path) noexcept;
/// What a user wants to be read: a key, say. Refuses one that others may read, if `secret`.
std::string read_whole_file(const std::string& path, bool secret, failure& f);
/// Waits for what a pipe or socket still has to say.
std::string read_to_end(native_handle_type handle, failure& f);

// ---- sockets ---------------------------------------------------------------------------------------

/// An address as the system has it (a sockaddr).
using socket_address = std::span<const std::byte>;

/// A stream that does not block; it is connected when it is ready to be written to, or has an error.
/// `resource_unavailable_try_again`: the queue of a Unix socket is full for the moment, which cannot be waited for.
unique_handle connect_socket(socket_address address, failure& f);
std::error_code socket_error(const unique_handle& socket) noexcept;
/// Two ends of a stream that do not block, which no child of a fork has; the second one can be inherited by a program.
std::pair<unique_handle, unique_handle> socket_pair(failure& f);

/// A socket that listens. One that a dead process has left at a path is replaced.
unique_handle listen_socket(socket_address address, failure& f);

std::uint16_t port_of(const unique_handle& socket) noexcept;
/// False if somebody listens there.
bool remove_abandoned_socket(const std::string& path) noexcept;

struct transferred {
  std::size_t bytes = 0;
  bool would_block = false;  // neither: the other end has closed the stream
  std::error_code error;
};
transferred send_some(const unique_handle& socket, std::string_view bytes) noexcept;
transferred receive_some(const unique_handle& socket, std::span<char> room) noexcept;
/// False if the time has come before.
bool wait_for_socket(native_handle_type socket, bool to_write,
                     std::chrono::steady_clock::time_point deadline) noexcept;

// ---- bells ----------------------------------------------------------------------------------------

/// Creates the named bell, replacing what a dead process left, and opens its sleeping end. Others may ring it
/// as far as `mode` says; its group is the block's, and if root has made it so is its owner.
unique_handle new_named_bell(std::string_view name, const unique_handle& block, unsigned mode,
                             failure& f);

/// Which bell is meant: a bell of this name, made beside this block, and of this identity (as id_of()).
struct named_bell {
  std::string_view name;
  const unique_handle& block;
  std::uint64_t id;
};
/// Opens the ringing end, and makes sure that it is the bell which is meant. `nobody_listens` if its owner is
/// dead; `no_such_file_or_directory` if there is none of this name, or it is another one.
unique_handle open_named_bell(const named_bell& bell, std::error_code& error) noexcept;
/// The same for a bell that has lost its name, through its owner's handle for it.
unique_handle open_bell_of_process(std::uint32_t pid, std::uint32_t handle, const named_bell& bell,
                                   std::error_code& error) noexcept;
inline constexpr std::errc nobody_listens = std::errc::no_such_device_or_address;
void unlink_named_bell(std::string_view name) noexcept;

/// As id_of(); 0 also if it is no bell.
std::uint64_t named_bell_id(std::string_view name) noexcept;

/// A bell without a name, to be handed over (a pipe). Not to be rung, or drained, itself: those who share a
/// description share whether it blocks, too.
unique_handle new_anonymous_bell(failure& f);
/// Both ends of such a bell, through a description of one's own, which nobody else can make block.
unique_handle open_anonymous_bell(const unique_handle& bell, std::error_code& error) noexcept;
/// Whether a handle that came from somewhere else is one.
bool is_anonymous_bell(const unique_handle& bell) noexcept;

/// False if nobody is left who could hear it. Raises no signal.
bool ring_bell(native_handle_type bell) noexcept;
/// The same for a bell of which this handle is the sleeping end as well, so that it cannot be deserted.
void ring_own_bell(native_handle_type bell) noexcept;
void drain_bell(const unique_handle& bell) noexcept;

// ---- processes ------------------------------------------------------------------------------------

std::uint32_t process_id() noexcept;
/// Pids mean the same to two processes only if this is equal.
std::uint64_t process_namespace() noexcept;
/// A handle that becomes ready when the process ends.
unique_handle watch_process(std::uint32_t pid, std::error_code& error) noexcept;

/// A program that was started. Its number stays its own until it is reaped.
struct child_process {
  std::uint32_t pid = 0;
  unique_handle handle;  // ready when it has ended
};
/// Starts a program, whose handle `i` is what `handles[i]` is here; nothing else is inherited. An
/// interrupt from the terminal is held back from it until it says otherwise.
child_process start_program(const std::string& path, std::span<const std::string> arguments,
                            std::span<const native_handle_type> handles, failure& f);
/// Lets an interrupt from the terminal pass by, and takes what was held back.
void ignore_interrupt() noexcept;
enum class how_to_end { please, now };
void end_process(const child_process& child, how_to_end how) noexcept;
/// Waits, and forgets it. False if the time has come before.
bool reap_process(child_process& child, std::chrono::steady_clock::time_point deadline) noexcept;

/// The program `belfry`: what the environment (BELFRY_EXECUTABLE) says, or what was installed, or built,
/// together with this library, or just its name.
std::string belfry_program();

/// Makes the child of a fork give up this handle at once, so that it does not keep its parent
/// alive in the eyes of others. Until the handle is closed.
void guard_against_fork(const unique_handle& handle);

/// While it lives the forks of other threads wait, so that no child has a handle which is opened, and guarded,
/// meanwhile. For the time of a few system calls that do not wait themselves.
class no_fork {
 public:
  no_fork();
  ~no_fork();
  no_fork(const no_fork&) = delete;
  no_fork& operator=(const no_fork&) = delete;
};
/// Opens a handle that no child of a fork ever has.
template <class Open>
unique_handle open_guarded(Open open) {
  const no_fork until_guarded;
  unique_handle handle = open();
  if (handle) guard_against_fork(handle);
  return handle;
}

// ---- waiting ----------------------------------------------------------------------------------------

/// Sleeps until one of the handles (`no_handle` is none) is ready, and says which are; false if the
/// time has come before, or the system does not let it sleep: then there is an error. `time_point::max()` is
/// never.
bool wait_any(std::span<const native_handle_type> handles,
              std::chrono::steady_clock::time_point deadline, std::span<bool> ready,
              std::error_code& error) noexcept;

bool is_ready(native_handle_type handle) noexcept;

/// A handle that becomes ready after this time.
unique_handle new_timer(std::chrono::nanoseconds after, std::error_code& error) noexcept;

/// One handle that is ready while any of its members is.
unique_handle new_wait_set(failure& f);
std::error_code add_to_wait_set(const unique_handle& set, native_handle_type handle) noexcept;
void remove_from_wait_set(const unique_handle& set, native_handle_type handle) noexcept;

/// Whether the barriers of others reach this process: what it has stored before one of them is seen by its
/// caller, or what that had stored before is seen by what this process loads afterwards.
bool is_reached_by_barriers() noexcept;
/// A full barrier in every process that is reached, wherever it runs just now. Some 10 us.
void barrier_everywhere() noexcept;

/// Processors of the machine, whatever this process may use of them.
unsigned processors() noexcept;

/// Bytes that cannot be guessed. Fails where the system refuses them in every way.
bool fill_random(std::span<std::byte> out, failure& f);

}  // namespace belfry::platform
