// One function per command. It declares the command's options and what to do once they are parsed. Failures
// are exceptions.
#pragma once

namespace CLI {
class App;
}

namespace belfry::cli {

void add_serve(CLI::App& app);
void add_gc(CLI::App& app);

}  // namespace belfry::cli
