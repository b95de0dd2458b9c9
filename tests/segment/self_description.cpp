// What a segment says of itself: the text in its file, and what a refusal says of it.
#include "../../src/segment/self_description.hpp"

#include "support/rings.hpp"

#include <belfry/describe.hpp>

#include <fstream>

using namespace belfry;
using namespace belfry::test;

namespace described_here {

struct order {
  std::uint32_t id;
  float price;
  std::array<char, 8> symbol;
};
BOOST_DESCRIBE_STRUCT(order, (), (id, price, symbol))

namespace elsewhere {

struct order {
  std::uint32_t id;
  float price;
  std::array<char, 8> symbol;
};
BOOST_DESCRIBE_STRUCT(order, (), (id, price, symbol))

}  // namespace elsewhere

struct swapped {
  float price;
  std::uint32_t id;
  std::array<char, 8> symbol;
};
BOOST_DESCRIBE_STRUCT(swapped, (), (price, id, symbol))

struct changed {
  std::uint32_t id;
  std::int32_t price;
  std::array<char, 8> symbol;
};
BOOST_DESCRIBE_STRUCT(changed, (), (id, price, symbol))

struct longer {
  std::uint32_t id;
  float price;
  std::array<char, 8> symbol;
  double more;
};
BOOST_DESCRIBE_STRUCT(longer, (), (id, price, symbol, more))

/// Its description would be longer than a description may be.
struct long_name_of_the_inner_structure_which_is_repeated {
  std::uint8_t a_long_name_of_a_field_for_a_long_description, b_long_name_of_a_field_for_a_long_description;
};
BOOST_DESCRIBE_STRUCT(long_name_of_the_inner_structure_which_is_repeated, (),
                      (a_long_name_of_a_field_for_a_long_description, b_long_name_of_a_field_for_a_long_description))
template <class T>
struct times_8 {
  T a, b, c, d, e, f, g, h;
};
BOOST_DESCRIBE_STRUCT(times_8<long_name_of_the_inner_structure_which_is_repeated>, (), (a, b, c, d, e, f, g, h))
using sixty_four = times_8<times_8<long_name_of_the_inner_structure_which_is_repeated>>;
BOOST_DESCRIBE_STRUCT(sixty_four, (), (a, b, c, d, e, f, g, h))

}  // namespace described_here

namespace {

using described_here::order;

/// The header and the text of a new segment, by plain file I/O.
struct created {
  template <class Ring>
  static created with(const channel_options& options = {}) {
    created c;
    const std::string name = unique_name("described");
    detail::failure f;
    const auto s = detail::segment::create_or_open(name, Ring::traits, options, f);
    INFO(f.what);
    REQUIRE_FALSE(f);
    std::ifstream in("/dev/shm/" + name, std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    std::memcpy(static_cast<void*>(&c.id), file.data(), sizeof c.id);
    c.text = file.substr(layout::description_offset(c.id.producers + c.id.consumers), c.id.description_bytes);
    REQUIRE(detail::segment::unlink(name, f));
    return c;
  }

  layout::identity id{};
  std::string text;
};

template <class Mine, class Theirs>
std::string refusal() {
  net::io_context io;
  const std::string name = unique_name("refused");
  typename channel<spsc_ring<Theirs, 8>>::producer tx(io, name);
  try {
    typename channel<spsc_ring<Mine, 8>>::consumer rx(io, name);
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::incompatible);
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("the description in a segment", "[self_description]") {
  const created c = created::with<work_ring<order, 4>>();
  INFO(c.text);
  const std::string ring =
      R"("ring":{"kind":"work_ring","producers":32,"consumers":32,"capacity":4,"places":4,"first":192,"stride":24,"value":8,"written":0,"read":0})";
  const std::string type =
      R"("type":{"name":"order","bytes":16,"align":4,"kind":"struct","fields":[{"name":"id","type":"u32","offset":0},{"name":"price","type":"f32","offset":4},{"name":"symbol","type":{"bytes":8,"align":1,"kind":"array","count":8,"of":"char"},"offset":8}]})";
  CHECK(c.text.starts_with(R"({"belfry":")"));
  CHECK(c.text.find(ring + ',' + type + '}') != std::string::npos);
  CHECK(c.id.places.first == 192);
  CHECK(c.id.places.stride == 24);
}

TEST_CASE("the text repeats what the header says, for every ring", "[self_description]") {
  const auto check = [](const created& c) {
    INFO(c.text);
    const auto says = [&](const char* key, std::uint64_t value) {
      return c.text.find('"' + std::string(key) + "\":" + std::to_string(value)) != std::string::npos;
    };
    CHECK(says("producers", c.id.producers));
    CHECK(says("consumers", c.id.consumers));
    CHECK(says("capacity", c.id.capacity));
    CHECK(says("places", c.id.places.places));
    CHECK(says("first", c.id.places.first));
    CHECK(says("stride", c.id.places.stride));
    CHECK(says("value", c.id.places.value));
    CHECK(says("written", c.id.places.written));
    CHECK(says("read", c.id.places.read));
    CHECK(c.id.ring_offset >= layout::description_offset(c.id.producers + c.id.consumers) + c.text.size());
  };
  channel_options options;
  check(created::with<spsc_ring<order, 64>>());
  check(created::with<latest<order>>());
  for (const std::size_t participants : {2u, 64u, 250u}) {
    options.participants = participants;
    check(created::with<work_ring<order, 4>>(options));
    check(created::with<broadcast_ring<order, 4, overflow::block>>(options));
    check(created::with<broadcast_ring<order, 4, overflow::overwrite>>(options));
  }
  for (const std::size_t capacity : {4096u, 1u << 20}) {
    options.capacity = capacity;
    const created c = created::with<byte_ring>(options);
    check(c);
    CHECK(c.text.find("\"type\":null") != std::string::npos);
    CHECK(detail::type_in(c.text).empty());
  }
}

TEST_CASE("the type in a segment's description can be used without the type", "[self_description]") {
  const created c = created::with<spsc_ring<order, 64>>();
  const described_type type = described_type::parse(detail::type_in(c.text));
  const order o{7, 0.5f, {'a', 'b'}};
  CHECK(type.to_json(std::as_bytes(std::span(&o, 1))) == R"({"id":7,"price":0.5,"symbol":"ab"})");
}

TEST_CASE("a description that would be too long says less", "[self_description]") {
  const created c = created::with<spsc_ring<described_here::sixty_four, 4>>();
  CHECK(c.text.size() <= layout::max_description);
  CHECK(c.text.find("\"name\":\"a\"") != std::string::npos);
  CHECK(described_type::parse(detail::type_in(c.text)).bytes() == 128);
}

TEST_CASE("types are compared by their fields, and a refusal names the field", "[self_description]") {
  using namespace described_here;
  CHECK(refusal<order, elsewhere::order>().empty());
  const auto says = [](const std::string& text, const char* what) {
    INFO(text);
    CHECK(text.find(what) != std::string::npos);
  };
  const std::string other_type = refusal<order, changed>();
  says(other_type, "the type fingerprint is ");
  says(other_type, "field \"price\" is i32 at offset 4 there, f32 here");
  says(other_type, "there: changed {u32 id; i32 price; char[8] symbol;}");
  says(other_type, "here: order {u32 id; f32 price; char[8] symbol;}");
  says(refusal<order, swapped>(), "field \"id\" is u32 at offset 4 there, u32 at offset 0 here");
  const std::string more = refusal<order, longer>();
  says(more, "the value size is 24, expected 16");
  says(more, "field \"more\" is missing here");
}

TEST_CASE("a text that is no description has no type", "[self_description]") {
  const std::string good = created::with<spsc_ring<order, 64>>().text;
  CHECK_FALSE(detail::type_in(good).empty());
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"type\":7}"), std::string(100'000, '['),
        good.substr(0, good.size() / 2), good + '}', std::string(200, '\0'), std::string("\xff\xfe")}) {
    CHECK(detail::type_in(text).empty());
    CHECK(detail::difference_of_types(text, good).empty());
  }
}
