// The command-line tool `belfry`.
#include "../platform/tool.hpp"
#include "commands.hpp"

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <iostream>

int main(int argc, char** argv) try {
  belfry::platform::fill_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe at standard output is an ordinary error
  CLI::App app("Tools for shared memory between processes", "belfry");
  app.set_version_flag("--version", "belfry " BELFRY_VERSION);
  app.require_subcommand(1);
  belfry::cli::add_serve(app);
  belfry::cli::add_gc(app);
  CLI11_PARSE(app, argc, argv);
  return 0;
} catch (const std::exception& e) {
  std::cerr << "belfry: " << e.what() << '\n';
  return 1;
}
