// An array of numbers, shared with a Python program, which views it through NumPy, or else a memoryview,
// without a copy: the second example of CPython's documentation of multiprocessing.shared_memory.
//
//   shared_array [NAME]                                and, while it waits, in another shell:
//   python3 examples/python/shared_array.py [NAME]
//
// Python changes the array in a transaction: other transactions, in either language, see all of its changes
// or none. If Python is killed meanwhile, the next transaction is told.
#include "net.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>

namespace {

constexpr std::array<std::int64_t, 6> fibonacci{1, 1, 2, 3, 5, 8};

/// The memory is whole pages, but the block's size is the one it was created with: the array's.
void print(std::span<const std::int64_t> numbers) {
  std::cout << "shared_array:";
  for (const std::int64_t n : numbers) std::cout << ' ' << n;
  std::cout << std::endl;
}

}  // namespace

int main(int argc, char** argv) try {
  auto a = belfry::shared_memory::create(argc > 1 ? argv[1] : "shared-array", sizeof fibonacci);
  const belfry::unlink_on_destroy owner(a);
  std::ranges::copy(fibonacci, a.as<std::int64_t>().begin());

  net::io_context io;
  belfry::watch w(io, a);
  w.async_changed(w.version(), [&](const belfry::error_code& ec, std::uint64_t) {
    if (ec) throw belfry::net_system_error(ec);
    const belfry::transaction t = a.txn();  // waits for Python's transaction
    print(t.as<std::int64_t>());
  });
  print(a.as<std::int64_t>());
  io.run();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "shared_array: " << e.what() << '\n';
  return EXIT_FAILURE;
}
