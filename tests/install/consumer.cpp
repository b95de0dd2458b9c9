// A user's program: sends itself a value through the channel named by its argument, and starts a manager with
// the program that was installed with the library.
#include <belfry/belfry.hpp>

#include <cstdlib>

int main(int argc, char** argv) {
  using numbers = belfry::channel<belfry::spsc_ring<int, 16>>;
  if (argc != 2) return EXIT_FAILURE;
  belfry::net::io_context io;
  numbers::producer tx(io, argv[1]);
  numbers::consumer rx(io, argv[1]);
  if (!tx.try_send(7) || rx.try_receive() != 7) return EXIT_FAILURE;

  belfry::shared_memory_manager manager;
  manager.start();
  auto list = manager.shareable_list({1, 2, 3});
  return list.size() == 3 && manager.list_segments().size() == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
