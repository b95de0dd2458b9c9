// The command-line tool `belfry`.
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "text.hpp"

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/// The arguments begin with the program's name.
int run(const std::vector<std::string>& arguments) {
  CLI::App app("Tools for shared memory between processes", "belfry");
  app.set_version_flag("--version", "belfry " BELFRY_VERSION);
  app.require_subcommand(1);
  belfry::cli::add_bridge(app);
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
    std::vector<const char*> argv;
    for (const std::string& a : arguments) argv.push_back(a.c_str());
    app.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& e) {
    const bool of_check = arguments.size() > 1 && arguments[1] == "check";
    if (of_check && e.get_exit_code() != 0) return belfry::cli::wrong_usage_of_check(e.what());
    if (app.exit(e) != 0) return 2;  // wrong usage; otherwise --help or --version
  } catch (const belfry::cli::exit_with& e) {
    return e.status;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  belfry::platform::prepare_standard_streams();
  const int status = run(belfry::platform::arguments(argc, argv));
  if (!std::cout.flush()) throw std::runtime_error("write to standard output");
  return status;
} catch (const std::exception& e) {
  belfry::cli::complain(e.what());
  return 1;
}
