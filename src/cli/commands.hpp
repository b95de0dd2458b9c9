// One function per command: declares its options, and what is done when they have been read. A failure is
// an exception.
#pragma once

namespace CLI {
class App;
}

namespace belfry::cli {

void add_serve(CLI::App& app);
void add_gc(CLI::App& app);

}  // namespace belfry::cli
