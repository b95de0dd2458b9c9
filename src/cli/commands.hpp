// One function per command. It declares the command's options and what to do once they are parsed. Failures
// are exceptions.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace belfry::cli {

/// Thrown by a command that has said everything already.
struct exit_with {
  int status;
};

void add_bridge(CLI::App& app);
void add_bw(CLI::App& app);
void add_check(CLI::App& app);
void add_doctor(CLI::App& app);
void add_gc(CLI::App& app);
void add_hz(CLI::App& app);
void add_ls(CLI::App& app);
void add_metrics(CLI::App& app);
void add_pages(CLI::App& app);
void add_peek(CLI::App& app);
void add_record(CLI::App& app);
void add_recv(CLI::App& app);
void add_replay(CLI::App& app);
void add_rm(CLI::App& app);
void add_send(CLI::App& app);
void add_serve(CLI::App& app);
void add_stat(CLI::App& app);
void add_top(CLI::App& app);
void add_watch(CLI::App& app);

/// `belfry check` tells of wrong usage as it tells of anything else. Returns the exit status.
int wrong_usage_of_check(const std::string& what);

}  // namespace belfry::cli
