#include "../blocks/removal.hpp"
#include "../platform/file.hpp"
#include "server/collect.hpp"
#include "server/tracked_blocks.hpp"

#include <belfry/collect_garbage.hpp>
#include <belfry/inspect.hpp>

#include <algorithm>

namespace belfry {
namespace {

using detail::failure;

class collector {
 public:
  collector(const garbage_options& options, failure& f) : options_(options), failure_(f) {}

  std::vector<garbage> collect() {
    if (options_.names.empty() || !options_.run_directory.empty()) collect_records();
    for (const segment_entry& e : list_segments()) {
      if (!is_wanted(e.name)) continue;
      if (e.kind == "bells") {
        if (detail::remove_stray_bells(e.name) != 0) found(e, garbage::fate::removed);
      } else if (e.version != 0 && e.kind != "unknown" && e.alive() == 0) {
        collect_segment(e);
      }
    }
    return std::move(found_);
  }

 private:
  bool is_wanted(const std::string& name) const {
    return options_.names.empty() || std::ranges::find(options_.names, name) != options_.names.end();
  }
  void found(const segment_entry& e, garbage::fate fate) {
    found_.push_back({e.name, e.kind, fate, e.unread ? std::optional(*e.unread + e.dead.value_or(0)) : std::nullopt});
  }

  void collect_records() {
    const std::string directory = options_.run_directory.empty()
                                      ? platform::run_directory(failure_)
                                      : options_.run_directory;
    if (failure_) return;
    const auto tell = [&](const std::string& block, detail::block_fate fate) {
      if (fate == detail::block_fate::gone) return;
      const bool removed = fate == detail::block_fate::removed;
      found_.push_back({block, "block", removed ? garbage::fate::removed : garbage::fate::in_use, {}});
    };
    detail::collect_records(directory, tell, failure_);
  }

  /// It looks as if it could go; remove_segment() decides, under the roster's lock.
  void collect_segment(const segment_entry& e) {
    failure f;
    switch (detail::remove_segment(e.name, {.holding = options_.holding}, f)) {
      case detail::segment_fate::removed: return found(e, garbage::fate::removed);
      case detail::segment_fate::holding: return found(e, garbage::fate::holding);
      case detail::segment_fate::in_use:
      case detail::segment_fate::persistent:
      case detail::segment_fate::gone: return;
      case detail::segment_fate::refused: break;
    }
    const bool of_another_user = f.code == std::errc::permission_denied ||
                                 f.code == std::errc::operation_not_permitted;
    if (!of_another_user) failure_ = f;
  }

  const garbage_options& options_;
  failure& failure_;
  std::vector<garbage> found_;
};

}  // namespace

std::vector<garbage> collect_garbage(const garbage_options& options) {
  failure f;
  std::vector<garbage> found = collector(options, f).collect();
  if (f) f.raise();
  return found;
}

std::vector<garbage> collect_garbage(const garbage_options& options, error_code& ec) {
  failure f;
  std::vector<garbage> found = collector(options, f).collect();
  ec = detail::to_net(f.code);
  return found;
}

}  // namespace belfry
