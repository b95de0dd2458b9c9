// A block of raw bytes, shared with a Python program: the first example of CPython's documentation of
// multiprocessing.shared_memory, across two processes and two languages.
//
//   shared_bytes [NAME]                                and, while it waits, in another shell:
//   python3 examples/python/shared_bytes.py [NAME]
//
// The documentation cannot say how one program learns that the other has written: here a watch tells.
#include "net.hpp"

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

int main(int argc, char** argv) try {
  auto a = belfry::shared_memory::create(argc > 1 ? argv[1] : "shared-bytes", 10);
  const belfry::unlink_on_destroy owner(a);  // close() and the destructor do not unlink
  const auto buffer = a.as<unsigned char>();
  for (unsigned char i = 0; i != 4; ++i) buffer[i] = 22 + 11 * i;  // several at once
  buffer[4] = 100;                                                 // or one

  net::io_context io;
  belfry::watch w(io, a);
  w.async_changed(w.version(), [&](const belfry::error_code& ec, std::uint64_t) {
    if (ec) throw belfry::net_system_error(ec);
    std::cout << "shared_bytes: now there is "
              << std::string(reinterpret_cast<const char*>(buffer.data()), 5) << std::endl;
  });
  std::cout << "shared_bytes: " << a << " waits for Python" << std::endl;
  io.run();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "shared_bytes: " << e.what() << '\n';
  return EXIT_FAILURE;
}
