// A server that follows its configuration, a list in shared memory, while a user edits that list in a Python
// shell. Nothing polls.
//
//   config_watch [NAME]                         until Ctrl-C
//
//   $ cd examples/python && python3
//   >>> from multiprocessing.shared_memory import ShareableList
//   >>> from belfry_watch import Watch, keep
//   >>> config = ShareableList(name="config-watch")
//   >>> keep(config.shm)                        # the server owns it: it stays when this shell ends
//   >>> watch = Watch("config-watch")
//   >>> config[1] = 8
//   >>> watch.notify()                          # the server shows 8 workers
//   >>> with watch.txn():                       # several changes, notified at the end
//   ...     config[0] = "Good evening"
//   ...     config[2] = True
#include "net.hpp"

#include <belfry/shareable_list.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <variant>

namespace {

/// The user may change the elements' types: wrong ones are refused.
struct settings {
  explicit settings(const belfry::shareable_list& list)
      : greeting(std::get<std::string>(list.at(0))),
        workers(std::get<std::int64_t>(list.at(1))),
        verbose(std::get<bool>(list.at(2))) {}

  std::string greeting;
  std::int64_t workers;
  bool verbose;
};

void show(const belfry::shareable_list& list) try {
  const settings s(list);
  std::cout << "config_watch: \"" << s.greeting << "\", " << s.workers << " workers, "
            << (s.verbose ? "verbose" : "quiet") << std::endl;
} catch (const std::exception& e) {
  // This also happens while the next change is under way; then there will be another notification.
  std::cout << "config_watch: goes on as before: " << e.what() << std::endl;
}

net::awaitable<void> follow(const belfry::shareable_list& list, belfry::watch& w) {
  for (std::uint64_t seen = w.version();;) {
    show(list);
    seen = co_await w.async_changed(seen, net::use_awaitable);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  using value = belfry::shareable_list::value;
  // The first text determines the room for later ones.
  const std::vector<value> defaults{"Good morning, everybody", 4, false};
  belfry::shareable_list config(defaults, argc > 1 ? argv[1] : "config-watch");
  const belfry::unlink_on_destroy owner(config.shm());

  net::io_context io;
  belfry::watch w(io, config.shm());
  net::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](belfry::error_code, int) { io.stop(); });
  net::co_spawn(io, follow(config, w), rethrow);
  io.run();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "config_watch: " << e.what() << '\n';
  return EXIT_FAILURE;
}
