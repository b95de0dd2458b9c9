// belfry peek: how it prints values; belfry stat: the fields of their type.
#include "tool.hpp"

#include <belfry/describe.hpp>
#include <belfry/inspect.hpp>
#include <belfry/shared_memory.hpp>

#include <algorithm>
#include <cstring>

namespace belfry::test {

struct leg {
  std::uint32_t id;
  std::int16_t size[2];
};
BOOST_DESCRIBE_STRUCT(leg, (), (id, size))

struct order {
  std::uint64_t seq;
  double price;
  char text[8];
  leg legs[2];
};
BOOST_DESCRIBE_STRUCT(order, (), (seq, price, text, legs))

namespace {

using orders = channel<spsc_ring<order, 8>>;

order order_of(std::uint64_t seq, const char* text) {
  order o{seq, 0.5 * static_cast<double>(seq), {}, {{1, {2, -3}}, {4, {5, 6}}}};
  std::memcpy(o.text, text, std::strlen(text));
  return o;
}

/// What the command prints, of a successful run.
std::string printed(std::vector<std::string> arguments) {
  const outcome o = tool_run(std::move(arguments));
  CHECK(o.status == 0);
  CHECK(o.err == "");
  return o.out;
}

}  // namespace

TEST_CASE("belfry peek prints values in each format, and leaves them there", "[tool-peek]") {
  const watchdog limit;
  const std::string name = unique_name("peek");
  const nothing_left check(name);
  net::io_context io;
  orders::producer tx(io, name);
  orders::consumer rx(io, name);
  CHECK(printed({"peek", name}) == "");
  REQUIRE(tx.try_send(order_of(1, "one")));
  REQUIRE(tx.try_send(order_of(2, "a,\"b")));

  const std::string json = printed({"peek", name, "--json"});
  CHECK(json ==
        "{\"seq\":1,\"price\":0.5,\"text\":\"one\",\"legs\":[{\"id\":1,\"size\":[2,-3]},{\"id\":4,\"size\":[5,6]}]}\n"
        "{\"seq\":2,\"price\":1.0,\"text\":\"a,\\\"b\",\"legs\":[{\"id\":1,\"size\":[2,-3]},{\"id\":4,\"size\":[5,6]}]}\n");
  CHECK(printed({"peek", name}) == json);
  CHECK(printed({"peek", name, "--count", "1", "--json"}) == json.substr(0, json.find('\n') + 1));
  CHECK(printed({"peek", name, "--csv"}) ==
        "seq,price,text,legs[0].id,legs[0].size[0],legs[0].size[1],legs[1].id,legs[1].size[0],legs[1].size[1]\n"
        "1,0.5,one,1,2,-3,4,5,6\n"
        "2,1.0,\"a,\"\"b\",1,2,-3,4,5,6\n");
  CHECK(printed({"peek", name, "--hex", "--count", "1"}) ==
        "0100000000000000" "000000000000e03f" "6f6e650000000000" "010000000200fdff" "0400000005000600\n");
  const std::string raw = printed({"peek", name, "--raw"});
  CHECK(raw.size() == 2 * sizeof(order));
  const order second = order_of(2, "a,\"b");
  CHECK(std::memcmp(raw.data() + sizeof(order), &second, sizeof(order)) == 0);

  CHECK(printed({"peek", name, "--field", "text"}) == "one\na,\"b\n");
  CHECK(printed({"peek", name, "--json", "--field", "text"}) == "\"one\"\n\"a,\\\"b\"\n");
  CHECK(printed({"peek", name, "--field", "legs[1].size[0]"}) == "5\n5\n");
  CHECK(printed({"peek", name, "--field", "legs[0]", "--csv"}) ==
        "legs[0].id,legs[0].size[0],legs[0].size[1]\n1,2,-3\n1,2,-3\n");
  CHECK(printed({"peek", name, "--field", "legs[0].size", "--hex"}) == "0200fdff\n0200fdff\n");
  for (const char* const wrong : {"nothing", "legs[2].id", "legs.id", "seq.x", "legs[0].size[0].x", "", ".", "[0]"}) {
    if (*wrong == '\0') continue;
    const outcome o = tool_run({"peek", name, "--field", wrong});
    CHECK(o.status == 1);
    CHECK(o.out == "");
    CHECK_THAT(o.err, contains("there is no field"));
    CHECK(lines_of(o.err).size() == 1);
  }
  CHECK(tool_run({"peek", name, "--json", "--csv"}).status == 2);
  CHECK(inspect(name).joins == 2);
  CHECK(rx.try_receive()->seq == 1);
  CHECK(rx.try_receive()->seq == 2);
}

TEST_CASE("belfry peek prints hexadecimal digits where no fields are known", "[tool-peek]") {
  const watchdog limit;
  const std::string name = unique_name("peek");
  const nothing_left check(name);
  net::io_context io;
  channel<byte_ring>::producer tx(io, name);
  channel<byte_ring>::consumer rx(io, name);
  const auto send = [&](std::string_view text) { return tx.try_send(std::as_bytes(std::span(text))); };
  REQUIRE(send("Hi\n"));
  REQUIRE(send(""));
  CHECK(printed({"peek", name}) == "48690a\n\n");
  CHECK(printed({"peek", name, "--json"}) == "\"48690a\"\n\"\"\n");
  CHECK(printed({"peek", name, "--csv"}) == "value\n48690a\n\n");
  CHECK(printed({"peek", name, "--raw"}) == "Hi\n");
  CHECK(tool_run({"peek", name, "--field", "a"}).status == 1);
  while (rx.try_receive()) {
  }

  auto block = shared_memory::create(name + "-block", 100);
  const unlink_on_destroy owner(block);
  const outcome o = tool_run({"peek", name + "-block"});
  CHECK(o.status == 1);
  CHECK_THAT(o.err, contains("is a block, not a channel"));
}

TEST_CASE("belfry stat lists the fields of the values", "[tool-peek]") {
  const watchdog limit;
  const std::string name = unique_name("fields");
  const nothing_left check(name);
  net::io_context io;
  orders::producer tx(io, name);
  const auto line_of = [text = printed({"stat", name})](const std::string& field) {
    for (const std::string& line : lines_of(text)) {
      std::istringstream words(line);
      std::string first;
      std::string rest;
      words >> first;
      if (first != field) continue;
      for (std::string word; words >> word;) rest += (rest.empty() ? "" : " ") + word;
      return rest;
    }
    return std::string("missing");
  };
  CHECK(line_of("type") == "order");
  CHECK(line_of("seq") == "u64 0 8");
  CHECK(line_of("text") == "char[8] 16 8");
  CHECK(line_of("legs") == "leg[2] 24 16");
  CHECK(line_of("legs[].size") == "i16[2] 28 4");
  const std::string json = printed({"stat", "--json", name});
  CHECK(json_says(json, name, "o['type']['name'], o['type']['fields'][1]['name'], o['type']['fields'][1]['type']") ==
        "order price f64");
  CHECK(described_type::parse(inspect(name).type).bytes() == sizeof(order));
  const channel_info quick = inspect(name, inspection::counters);
  CHECK(quick.type == "");
  CHECK(quick.description == "");
  CHECK(quick.unread == 0);
}

}  // namespace belfry::test
