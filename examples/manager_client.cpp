// A client of a manager that is already running: `belfry serve`, or a Python program.
//
//   python3 examples/python/manager_server.py /tmp/manager KEY       or   belfry serve --address /tmp/manager ...
//   manager_client /tmp/manager KEY
#include "net.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <cstdlib>
#include <iostream>

namespace {

net::awaitable<void> use(net::io_context& io, std::string address, std::string key) {
  belfry::shared_memory_manager manager(io);
  co_await manager.async_connect(address, key, net::use_awaitable);

  const std::vector<belfry::shareable_list::value> greetings{"hello", 42, nullptr};
  auto list = co_await manager.async_shareable_list(greetings, net::use_awaitable);
  auto block = co_await manager.async_shared_memory(4096, net::use_awaitable);
  std::cout << "manager_client: " << list.shm() << ' ' << block << std::endl;

  for (const std::string& name : co_await manager.async_list_segments(net::use_awaitable)) {
    std::cout << "manager_client: the manager has " << name << std::endl;
  }
  co_await manager.async_release(block.name(), net::use_awaitable);
}  // the list stays: the manager removes it when it ends

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: manager_client ADDRESS KEY");
  net::io_context io;
  net::co_spawn(io, use(io, argv[1], argv[2]), rethrow);
  io.run();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "manager_client: " << e.what() << '\n';
  return EXIT_FAILURE;
}
