#include "collect.hpp"

#include "../../blocks/companion.hpp"
#include "../../platform/block.hpp"
#include "../../platform/file.hpp"
#include "../../platform/lock.hpp"
#include "../../platform/socket.hpp"
#include "../wire/address.hpp"
#include "tracked_blocks.hpp"

#include <belfry/collect_garbage.hpp>

namespace belfry::detail {
namespace {

/// Removes the new record that a server was writing when it died.
void remove_unfinished(const std::string& path) {
  failure ignored;
  const unique_handle file = platform::open_file(path, false, ignored);
  if (file && platform::try_lock_byte(file, 0) &&
      platform::file_id(path) == platform::id_of(file)) {
    platform::remove_file(path);
  }
}

}  // namespace

void collect_records(const std::string& directory,
                     const std::function<void(const std::string& block, block_fate)>& tell,
                     failure& f) {
  for (const std::string& file : platform::files_in(directory)) {
    const std::string path = directory + '/' + file;
    if (file.ends_with(std::string(server_record::suffix) + ".new")) remove_unfinished(path);
    if (!file.ends_with(server_record::suffix)) continue;
    failure of_this;
    server_record record = server_record::of_the_dead(path, of_this);
    if (of_this && of_this.code != std::errc::no_such_file_or_directory) f = of_this;
    if (!record) continue;
    for (const server_record::block& b : record.blocks_in_order()) {
      const block_fate fate = remove_if_unused(b.name, b.id);
      if (fate != block_fate::in_use) record.remove(b, of_this);
      tell(b.name, fate);
    }
    if (!record.blocks().empty()) continue;
    const manager_address address = manager_address::parse(record.address(), of_this);
    // If a process still listens there, it may be a server that is slow to die: the record stays for the next
    // run.
    if (address.kind == manager_address::family::path &&
        !platform::remove_abandoned_socket(address.name)) {
      continue;
    }
    record.discard();
  }
}

}  // namespace belfry::detail

namespace belfry {
namespace {

void collect(const std::function<void(std::string_view, garbage)>& tell, std::string directory,
             detail::failure& f) {
  if (directory.empty()) directory = platform::run_directory(f);
  if (f) return;
  const auto told = [&](const std::string& name, garbage what) {
    if (tell) tell(name, what);
  };
  detail::collect_records(
      directory,
      [&](const std::string& block, detail::block_fate fate) {
        switch (fate) {
          case detail::block_fate::removed: return told(block, garbage::removed);
          case detail::block_fate::in_use: return told(block, garbage::in_use);
          case detail::block_fate::gone: break;
        }
      },
      f);
  detail::collect_companions([&](const std::string& companion) { told(companion, garbage::removed); });
}

}  // namespace

void collect_garbage(const std::function<void(std::string_view, garbage)>& tell,
                     std::string_view run_directory) {
  detail::failure f;
  collect(tell, std::string(run_directory), f);
  if (f) f.raise();
}

void collect_garbage(const std::function<void(std::string_view, garbage)>& tell,
                     std::string_view run_directory, error_code& ec) {
  detail::failure f;
  collect(tell, std::string(run_directory), f);
  ec = detail::to_net(f.code);
}

}  // namespace belfry
