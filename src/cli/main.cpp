// The command-line tool `belfry`.
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "text.hpp"

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>

namespace {

int run(int argc, char** argv) {
  CLI::App app("Tools for shared memory between processes", "belfry");
  app.set_version_flag("--version", "belfry " BELFRY_VERSION);
  app.require_subcommand(1);
  belfry::cli::add_bw(app);
  belfry::cli::add_check(app);
  belfry::cli::add_doctor(app);
  belfry::cli::add_gc(app);
  belfry::cli::add_hz(app);
  belfry::cli::add_ls(app);
  belfry::cli::add_metrics(app);
  belfry::cli::add_pages(app);
  belfry::cli::add_peek(app);
  belfry::cli::add_record(app);
  belfry::cli::add_recv(app);
  belfry::cli::add_replay(app);
  belfry::cli::add_rm(app);
  belfry::cli::add_send(app);
  belfry::cli::add_serve(app);
  belfry::cli::add_stat(app);
  belfry::cli::add_top(app);
  belfry::cli::add_watch(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const bool of_check = argc > 1 && std::string_view(argv[1]) == "check";
    if (of_check && e.get_exit_code() != 0) return belfry::cli::wrong_usage_of_check(e.what());
    if (app.exit(e) != 0) return 2;  // wrong usage; otherwise --help or --version
  } catch (const belfry::cli::exit_with& e) {
    return e.status;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  belfry::platform::fill_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe at standard output is an ordinary error
  const int status = run(argc, argv);
  if (!std::cout.flush()) throw std::runtime_error("write to standard output");
  return status;
} catch (const std::exception& e) {
  belfry::cli::complain(e.what());
  return 1;
}
