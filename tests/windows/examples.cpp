// Two programs that know nothing of tests talk to each other.
#include "started.hpp"
#include "support/catch.hpp"

#include <belfry/collect_garbage.hpp>

#include <filesystem>
#include <fstream>
#include <string>

using namespace belfry::test;

namespace {

/// Everything that it still writes, as text: of what Windows ends a line with only the last character.
std::string text_of(program& p) {
  std::string text = p.rest();
  std::erase(text, '\r');
  return text;
}

}  // namespace

TEST_CASE("the program of the README, twice", "[examples]") {
  program consumer("examples/hello", "");
  program producer("examples/hello", "produce");
  for (int n = 1; n <= 10; ++n) CHECK(consumer.line() == std::to_string(n) + ' ' + std::to_string(100 + n));
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
  CHECK(consumer.line() == "");
}

TEST_CASE("ticks: a demonstration, and sides that are killed and started again", "[examples]") {
  program demo("examples/ticks", "");
  const std::string said = text_of(demo);
  CHECK(demo.wait() == 0);
  CHECK(said.find("producer: 2000 ticks in all, the last one was 1999\n") != std::string::npos);
  CHECK(said.find("consumer: 2000 ticks in all, the last one was 1999\n") != std::string::npos);

  const std::string name = unique_name("ticks");
  program consumer("examples/ticks", "consume " + name);
  {
    program killed("examples/ticks", "produce " + name);
    killed.line();
  }
  const auto says = [&](const std::string& what) {
    for (std::string line; (line = consumer.line()) != "";) {
      if (line.starts_with(what)) return true;
    }
    return false;
  };
  CHECK(says("consumer: the other side was killed"));
  program next("examples/ticks", "produce --count 100 " + name);
  CHECK(says("consumer: the next one is here"));
  CHECK(says("consumer: the other side has left"));
  CHECK(text_of(next).ends_with("producer: 100 ticks in all, the last one was 99\n"));
  CHECK(next.wait() == 0);
  consumer.kill();
  belfry::collect_garbage();
  CHECK(files_of(name) == 0);
}

TEST_CASE("pipeline: a file, and what is wrong with it", "[examples]") {
  const std::string in = unique_name("in");
  const std::string out = unique_name("out");
  {
    std::ofstream file(in, std::ios::binary);
    for (int n = 0; n != 300'000; ++n) file << n << (n % 3 == 0 ? "\r\n" : "\n\x1a");
  }
  const auto bytes = std::filesystem::file_size(in);
  program pipeline("examples/pipeline", in + ' ' + out);
  const std::string said = pipeline.line();
  CHECK(said.starts_with("pipeline: "));
  CHECK(said.find(" messages, " + std::to_string(bytes) + " bytes, ") != std::string::npos);
  CHECK(said.ends_with(", identical"));
  CHECK(pipeline.wait() == 0);
  CHECK(pipeline.errors().starts_with("sent "));

  program producer("examples/pipeline", "produce " + in + ' ' + in);
  program consumer("examples/pipeline", "consume " + in + ' ' + out);
  CHECK(consumer.line().starts_with("pipeline: "));
  CHECK(producer.wait() == 0);
  CHECK(consumer.wait() == 0);
  CHECK(std::filesystem::file_size(out) == bytes);

  program missing("examples/pipeline", "nothing " + out);
  CHECK(missing.wait() == 1);
  CHECK(missing.errors().starts_with("pipeline: cannot open nothing"));
  CHECK(std::filesystem::remove(in));
  CHECK(std::filesystem::remove(out));
  CHECK(files_of("pipeline-") + files_of(in) == 0);
}

TEST_CASE("timeout, news, video and poll_loop: what they say at the end", "[examples]") {
  program timeout("examples/timeout", "300");
  CHECK(timeout.line().starts_with("timeout: 300 numbers in order, none lost, "));
  CHECK(timeout.wait() == 0);

  program news("examples/news", "5000");
  const std::string read = text_of(news);
  CHECK(news.wait() == 0);
  CHECK(read.find("news: reader 0 has seen ") != std::string::npos);
  CHECK(read.find("news: reader 2, slow, has seen ") != std::string::npos);
  CHECK(read.find("the last was 5000\n") != std::string::npos);

  program video("examples/video", "demo");
  const std::string shown = text_of(video);
  CHECK(video.wait() == 0);
  CHECK(shown.find("camera: 120 frames in all, 0 skipped, 0 damaged, ") != std::string::npos);
  for (const std::string reader : {"recorder: ", "display: ", "detector: "})
    CHECK(shown.find('\n' + reader) != std::string::npos);
  CHECK(shown.find(" damaged, ") != std::string::npos);

  program loop("examples/poll_loop", "10 3");
  const std::string told = text_of(loop);
  CHECK(loop.wait() == 0);
  CHECK(told.find("poll_loop: 10 channels, 30 sensors came, 20 left, 10 were killed; 6000 measurements, mean 22.45; ") !=
        std::string::npos);
  for (const char* const name : {"timeout-", "news-", "video-demo-", "poll-loop-"}) CHECK(files_of(name) == 0);
}

TEST_CASE("a client and a server, which is killed and started again", "[examples]") {
  for (int life = 0; life != 2; ++life) {
    program server("examples/calls", "serve");
    REQUIRE(server.line() == "calls: serving");
    // The client waits a second, which may be too short on a busy machine.
    int status = 1;
    for (int tries = 0; tries != 100 && status != 0; ++tries) {
      program client("examples/calls", "6 * 7");
      const std::string answer = client.line();
      status = client.wait();
      CHECK(answer == (status == 0 ? "42" : ""));
    }
    CHECK(status == 0);
  }
  CHECK(program("examples/calls", "1 + 1").wait() == 1);  // no server is there
}
