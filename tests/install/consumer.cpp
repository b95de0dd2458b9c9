// A user's program: sends itself one value through the channel named by its argument.
#include <belfry/belfry.hpp>

#include <cstdlib>

int main(int argc, char** argv) {
  using numbers = belfry::channel<belfry::spsc_ring<int, 16>>;
  if (argc != 2) return EXIT_FAILURE;
  belfry::net::io_context io;
  numbers::producer tx(io, argv[1]);
  numbers::consumer rx(io, argv[1]);
  return tx.try_send(7) && rx.try_receive() == 7 ? EXIT_SUCCESS : EXIT_FAILURE;
}
