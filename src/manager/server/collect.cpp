#include "collect.hpp"

#include "../../platform/block.hpp"
#include "../../platform/file.hpp"
#include "../../platform/lock.hpp"
#include "../../platform/socket.hpp"
#include "../wire/address.hpp"
#include "tracked_blocks.hpp"

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
