// Kills a process after any instruction of an operation.
//
// A scene is an operation with its surroundings:
//
//     struct scene {
//       explicit scene(const std::string& name);  // what there is before: survivors, say
//       void prepare();                           // in the victim, up to the operation
//       void rest();                              // here, when the victim has come so far
//       void act();                               // in the victim: the operation
//       void meanwhile();                         // here, if there is one: it is stopped, and alive
//       unsigned follow();                        // here, when it is dead: the survivors continue
//       unsigned complete() const;                // what that is, if there is one, after the whole operation
//     };
//
// follow() says how much of the operation has happened: nothing if it has not begun, always the same if it
// was complete, and never less than after fewer instructions.
//
// First the operation is traced instruction by instruction, and each address is recorded. Then, for each
// chosen number of instructions, a new scene's victim runs to a breakpoint and is killed there. Other
// processes see a difference only after a system call, or after a store into shared memory: a short run kills
// around each of these, and at a sample of the other instructions.
#pragma once

#include "segment_file.hpp"
#include "support/process.hpp"
#include "support/test.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <cxxabi.h>
#include <dlfcn.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

namespace belfry::test {

#if defined(__x86_64__)

/// Whether an instruction is a breakpoint or a system call. A child has our code.
inline bool is_mark(std::uintptr_t place) noexcept {
  return *reinterpret_cast<const std::uint8_t*>(place) == 0xcc;
}
inline bool is_system_call(std::uintptr_t place) noexcept {
  const auto* const code = reinterpret_cast<const std::uint8_t*>(place);
  return code[0] == 0x0f && code[1] == 0x05;
}
inline void mark() noexcept { asm volatile("int3" ::: "memory"); }

/// The trace of an operation: the address after each number of instructions.
struct walk {
  std::vector<std::uintptr_t> places;
  std::vector<std::size_t> visits;  // how often it has been there before
  std::set<std::size_t> seen;       // numbers of the instructions around what others can see
  std::size_t length() const noexcept { return places.size() - 1; }
};

/// A child that stops where its operation begins, and continues when told to.
class stepped {
 public:
  stepped(const std::function<void()>& prepare, const std::function<void()>& act)
      : child_([&] {
          if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(77);
          prepare();
          mark();
          act();
          mark();
          ::_exit(0);
        }) {
    wait();
    check(::ptrace(PTRACE_SETOPTIONS, child_.pid(), nullptr, PTRACE_O_EXITKILL));
  }

  std::uintptr_t place() const {
    errno = 0;
    const long at = ::ptrace(PTRACE_PEEKUSER, child_.pid(), offsetof(user, regs.rip), nullptr);
    check(errno == 0 ? 0 : -1);
    return static_cast<std::uintptr_t>(at);
  }
  void step() { resume(PTRACE_SINGLESTEP); }
  /// Runs until `count` instructions are done. False if it took another way, to the end.
  bool go(const walk& way, std::size_t count) {
    // A breakpoint, and continuing from it, takes about as long as three steps.
    std::size_t at = 0;
    std::size_t cost = count;
    for (std::size_t i = count; i != 0 && count - i < cost; --i) {
      const std::size_t that = 3 * way.visits[i] + (count - i);
      if (that < cost) at = i, cost = that;
    }
    if (at != 0 && !run_to(way.places[at], way.visits[at])) return false;
    for (; at != count; ++at) {
      if (is_mark(place())) return false;
      step();
    }
    return true;
  }
  void kill() noexcept { child_.kill(); }

 private:
  static void check(long result) {
    if (result == -1) throw unexpected(std::string("ptrace: ") + std::strerror(errno));
  }
  /// Whether the stop is one of ours. Other signals are delivered.
  int wait() {
    int status = 0;
    while (::waitpid(child_.pid(), &status, 0) == -1) EXPECT(errno == EINTR);
    if (!WIFSTOPPED(status)) {
      child_.forget();
      if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip("ptrace is not permitted");
      throw unexpected("the victim has ended by itself, with status " + std::to_string(status));
    }
    return WSTOPSIG(status);
  }
  void resume(int how) {
    for (long signal = 0;;) {
      check(::ptrace(static_cast<__ptrace_request>(how), child_.pid(), nullptr, signal));
      signal = wait();
      if (signal == SIGTRAP) return;
    }
  }
  /// To a breakpoint, past its first `visits` hits.
  bool run_to(std::uintptr_t goal, std::size_t visits) {
    void* const at = reinterpret_cast<void*>(goal);
    errno = 0;
    const long code = ::ptrace(PTRACE_PEEKTEXT, child_.pid(), at, nullptr);
    check(errno == 0 ? 0 : -1);
    for (;; --visits) {
      check(::ptrace(PTRACE_POKETEXT, child_.pid(), at, (code & ~0xffl) | 0xcc));
      resume(PTRACE_CONT);
      if (place() != goal + 1) return false;
      check(::ptrace(PTRACE_POKETEXT, child_.pid(), at, code));
      check(::ptrace(PTRACE_POKEUSER, child_.pid(), offsetof(user, regs.rip), at));
      if (visits == 0) return true;
      step();
    }
  }

  child child_;
};

/// What other processes see of a channel, or of a block and its companion.
class outside_view {
 public:
  explicit outside_view(const std::string& name)
      : parts_{part{name, {}, {}}, part{name + ".watch", {}, {}}} {
    look_for_files();
    changed();
  }
  void look_for_files() {
    for (part& p : parts_) {
      if (!p.file && std::filesystem::exists(path_of(p.name))) p.file.emplace(p.name);
    }
  }
  /// Whether it has changed since the last call.
  bool changed() {
    bool any = false;
    for (part& p : parts_) {
      if (!p.file) continue;
      p.before.resize(p.file->size());
      if (std::memcmp(p.before.data(), p.file->data(), p.file->size()) == 0) continue;
      std::memcpy(p.before.data(), p.file->data(), p.file->size());
      any = true;
    }
    return any;
  }

 private:
  struct part {
    std::string name;
    std::optional<segment_file> file;
    std::vector<std::byte> before;
  };
  std::array<part, 2> parts_;
};

inline walk walk_through(stepped& s, const std::string& name) {
  walk way;
  std::unordered_map<std::uintptr_t, std::size_t> visits;
  outside_view view(name);
  for (std::uintptr_t at = s.place();; at = s.place()) {
    way.places.push_back(at);
    way.visits.push_back(visits[at]++);
    if (is_mark(at)) return way;
    const bool call = is_system_call(at);
    s.step();
    if (call) view.look_for_files();
    if (view.changed() || call) way.seen.insert({way.length(), way.length() + 1});
  }
}

/// The numbers of instructions after which it is killed: all, or a sample and what others can see.
inline std::set<std::size_t> chosen(const walk& way, std::size_t sample) {
  const std::size_t stride = way.length() / 4 <= sample ? 1 : way.length() / sample;
  std::set<std::size_t> counts(way.seen);
  for (std::size_t k = std::random_device()() % stride; k < way.length(); k += stride)
    counts.insert(k);
  counts.insert({0, way.length()});
  return counts;
}

/// The function at an address, as far as the dynamic linker knows, and the offset in its file.
inline std::string name_of_place(std::uintptr_t place) {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(place), &info) == 0) return "?";
  char text[32];
  std::snprintf(text, sizeof text, "+%#zx",
                place - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
  std::string result = std::filesystem::path(info.dli_fname).filename().string() + text;
  if (info.dli_sname == nullptr) return result;
  char* const readable = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, nullptr);
  result += std::string(", ") + (readable != nullptr ? readable : info.dli_sname);
  std::free(readable);
  return result;
}

/// How many instructions of an operation are sampled; a long run takes all.
inline std::size_t kill_sample = 12;
inline std::size_t kills_in_all = 0;
inline void report(const std::string& what) {
  std::printf("%6zu kills in all: %s\n", kills_in_all, what.c_str());
}

/// Runs up to the operation.
template <class Scene>
stepped begin(Scene& scene) {
  stepped victim([&] { scene.prepare(); }, [&] { scene.act(); });
  scene.rest();
  return victim;
}

/// `what` names the operation in the report.
template <class Scene, class... Arguments>
void kill_everywhere(const std::string& what, const Arguments&... arguments) {
  const std::string name = unique_name("every-instruction");
  INFO(what);
  walk way;
  unsigned whole = 0;
  for (const bool again :
       {false, true}) {  // the first call in a process does some things that later ones do not
    Scene scene(name, arguments...);
    stepped victim = begin(scene);
    if (again) way = walk_through(victim, name);
    if constexpr (requires { scene.meanwhile(); }) {
      if (again) scene.meanwhile();
    }
    victim.kill();
    whole = scene.follow();
    if constexpr (requires { scene.complete(); }) {
      const std::optional<unsigned> all = scene.complete();
      if (again && all) REQUIRE(whole == *all);
    }
  }
  REQUIRE(files_of(name) == 0);

  std::size_t kills = 0, strays = 0, failures = 0;
  unsigned before = 0;
  for (const std::size_t count : chosen(way, kill_sample)) {
    try {
      Scene scene(name, arguments...);
      stepped victim = begin(scene);
      const bool there = victim.go(way, count);
      if constexpr (requires { scene.meanwhile(); }) scene.meanwhile();
      victim.kill();
      ++kills;
      if (!there) ++strays;
      const unsigned happened = scene.follow();
      EXPECT(happened >= before);
      if (there) before = happened;
      if (count == 0 && there) EXPECT_EQ(happened, 0u);
      if (count == way.length() || !there) EXPECT_EQ(happened, whole);
    } catch (const std::exception& e) {
      std::printf("%s: killed after %zu of %zu instructions, before %s: %s\n", what.c_str(), count,
                  way.length(), name_of_place(way.places[count]).c_str(), e.what());
      ++failures;
    }
    if (const std::size_t left = files_of(name); left != 0) {
      std::printf("%s: killed after %zu of %zu instructions, before %s: %zu files are left\n",
                  what.c_str(), count, way.length(), name_of_place(way.places[count]).c_str(),
                  left);
      ++failures;
      for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
        if (entry.path().filename().string().starts_with(name))
          std::filesystem::remove(entry.path());
      }
    }
    if (failures >= 5) break;
  }
  std::printf("%6zu kills in %6zu instructions: %s", kills, way.length(), what.c_str());
  std::printf(strays == 0 ? "\n" : " (%zu went another way, to the end)\n", strays);
  std::fflush(stdout);
  kills_in_all += kills;
  CHECK(failures == 0);
}

#endif

}  // namespace belfry::test
