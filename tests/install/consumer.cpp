// A user's program: sends itself a value through the channel named by its argument, and starts a manager with
// the program that was installed with the library. Program and library share Asio's objects.
#include <belfry/belfry.hpp>

#include <cstdlib>
#include <stop_token>

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
  if (list.size() != 3 || manager.list_segments().size() != 1) return EXIT_FAILURE;

  std::stop_source stop;
  stop.request_stop();
  belfry::error_code ec;
  const belfry::transaction none = list.shm().txn(stop.get_token(), ec);
  const belfry::net::any_io_executor same = belfry::net::system_executor();
  return ec == belfry::net::error::operation_aborted && manager.get_executor() == same ? EXIT_SUCCESS : EXIT_FAILURE;
}
