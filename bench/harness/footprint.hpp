// The memory and descriptors of this process.
#pragma once

#include <filesystem>
#include <iterator>

#include <malloc.h>

namespace belfry::bench {

struct footprint {
  double private_bytes = 0;  // allocated
  double descriptors = 0;

  static footprint now() {
    footprint f;
    const auto heap = ::mallinfo2();
    f.private_bytes = static_cast<double>(heap.uordblks + heap.hblkhd);
    f.descriptors = static_cast<double>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
    return f;
  }

  footprint operator-(const footprint& before) const {
    return {private_bytes - before.private_bytes, descriptors - before.descriptors};
  }
};

/// Per channel or socket, when many are set up.
struct setup_costs {
  double create = 0;  // seconds
  double attach = 0;
  footprint more;  // of the process that attaches, when all are in use
};

}  // namespace belfry::bench
