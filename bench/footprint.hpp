// What this process has of its own, by the kernel's account.
#pragma once

#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>

namespace belfry::bench {

struct footprint {
  double private_bytes = 0;  // resident, and no file's or block's
  double descriptors = 0;

  static footprint now() {
    footprint f;
    struct close_file {
      void operator()(std::FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, close_file> status(std::fopen("/proc/self/status", "r"));
    char line[256];
    for (double kib = 0; status && std::fgets(line, sizeof line, status.get()) != nullptr;) {
      if (std::sscanf(line, "RssAnon: %lf kB", &kib) == 1) f.private_bytes = kib * 1024;
    }
    f.descriptors = static_cast<double>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
    return f;
  }

  footprint operator-(const footprint& before) const {
    return {private_bytes - before.private_bytes, descriptors - before.descriptors};
  }
};

/// Of setting up many of a kind, each.
struct setup_costs {
  double create = 0;  // seconds
  double attach = 0;
  footprint more;  // of the process that attaches, when all are in use
};

}  // namespace belfry::bench
