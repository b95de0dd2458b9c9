#include <belfry/detail/layout/layout.hpp>

#include "support/rings.hpp"

#include <fstream>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

// The format is a contract with programs that were built earlier or by others: offsets and values are written
// here as numbers, and read back with plain file I/O.

namespace {

std::vector<char> file_of(const std::string& name) {
  std::ifstream in("/dev/shm/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T>
T at(const std::vector<char>& file, std::size_t offset) {
  T value;
  REQUIRE(offset + sizeof value <= file.size());
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

/// A segment that was just created, without participants.
std::vector<char> created(const detail::ring_traits& traits, const channel_options& options) {
  const std::string name = unique_name("layout");
  detail::failure f;
  const auto s = detail::segment::create_or_open(name, traits, options, f);
  INFO(f.what);
  REQUIRE_FALSE(f);
  std::vector<char> file = file_of(name);
  REQUIRE(detail::segment::unlink(name, f));
  return file;
}

}  // namespace

TEST_CASE("the offsets within the header", "[layout]") {
  using layout::control_header;
  using layout::identity;
  using layout::participant_slot;
  CHECK(offsetof(identity, magic) == 0);
  CHECK(offsetof(identity, version) == 8);
  CHECK(offsetof(identity, header_bytes) == 12);
  CHECK(offsetof(identity, segment_bytes) == 16);
  CHECK(offsetof(identity, segment_id) == 24);
  CHECK(offsetof(identity, kind) == 40);
  CHECK(offsetof(identity, flags) == 44);
  CHECK(offsetof(identity, producers) == 48);
  CHECK(offsetof(identity, consumers) == 50);
  CHECK(offsetof(identity, bell_mode) == 52);
  CHECK(offsetof(identity, value_bytes) == 56);
  CHECK(offsetof(identity, value_align) == 64);
  CHECK(offsetof(identity, type_fingerprint) == 72);
  CHECK(offsetof(identity, capacity) == 80);
  CHECK(offsetof(identity, abi_fingerprint) == 88);
  CHECK(offsetof(identity, ring_offset) == 96);
  CHECK(offsetof(identity, ring_bytes) == 104);
  CHECK(offsetof(identity, process_namespace) == 112);
  CHECK(offsetof(identity, subject) == 120);
  CHECK(offsetof(identity, places) == 128);
  CHECK(offsetof(identity, description_bytes) == 176);
  CHECK(offsetof(identity, creator) == 180);
  CHECK(offsetof(identity, created) == 184);
  CHECK(offsetof(identity, program) == 192);
  CHECK(offsetof(layout::geometry, places) == 0);
  CHECK(offsetof(layout::geometry, first) == 8);
  CHECK(offsetof(layout::geometry, stride) == 16);
  CHECK(offsetof(layout::geometry, value) == 24);
  CHECK(offsetof(layout::geometry, written) == 32);
  CHECK(offsetof(layout::geometry, read) == 40);
  CHECK(offsetof(control_header, parked) == 256);
  CHECK(sizeof(control_header::parked_marks) == 256);
  CHECK(offsetof(control_header, count) == 768);
  CHECK(offsetof(participant_slot, control) == 0);
  CHECK(offsetof(participant_slot, pid) == 8);
  CHECK(offsetof(participant_slot, bell_handle) == 12);
  CHECK(offsetof(participant_slot, bell) == 16);
  CHECK(offsetof(participant_slot, parks) == 24);
  CHECK(offsetof(participant_slot, rings) == 32);
  CHECK(offsetof(participant_slot, since) == 40);
  CHECK(offsetof(participant_slot, program) == 48);
  CHECK(offsetof(participant_slot, park) == 64);
  CHECK(offsetof(participant_slot, flags) == 72);
  CHECK(offsetof(participant_slot, count) == 128);
  CHECK(offsetof(layout::slot_control, generation) == 0);
  CHECK(offsetof(layout::slot_control, deaths) == 4);
  CHECK(offsetof(layout::slot_control, end) == 6);
  CHECK(offsetof(layout::slot_control, state) == 7);
  CHECK(offsetof(layout::byte_ring_control, tail) == 0);
  CHECK(offsetof(layout::byte_ring_control, head) == 64);
}

TEST_CASE("the sizes that depend on the number of participants and of bytes", "[layout]") {
  CHECK(layout::description_offset(2) == 1216);
  CHECK(layout::description_offset(250) == 48832);
  CHECK(layout::header_bytes(2, 0) == 1216);
  CHECK(layout::header_bytes(2, 1) == 1280);
  CHECK(layout::header_bytes(64, 64) == 13184);
  CHECK(layout::roster_lock == 0);
  CHECK(layout::slot_lock(0) == 1);
  CHECK(layout::slot_lock(249) == 250);
  CHECK(layout::record_bytes(0) == 8);
  CHECK(layout::record_bytes(1) == 16);
  CHECK(layout::record_bytes(8) == 16);
  CHECK(layout::record_bytes(9) == 24);
  CHECK(layout::record_bytes(0xffffffff) == 0x100000008);
}

TEST_CASE("the word of a slot of a work_ring", "[layout]") {
  using layout::work_state;
  using layout::work_word;
  const work_word word{.lap = 5, .owner = 0x41, .state = work_state::leased, .deliveries = 3};
  CHECK(word.bits() == (5u << 19 | 3u << 11 | 0x41u << 3 | 4u));
  const work_word all{.lap = work_word::laps - 1, .owner = 255, .state = work_state{7}, .deliveries = 255};
  CHECK(all.bits() == ~std::uint64_t{0});
  for (const work_word& w : {word, all, work_word{}}) {
    const work_word same = work_word::from(w.bits());
    CHECK((same.lap == w.lap && same.owner == w.owner && same.state == w.state && same.deliveries == w.deliveries));
  }
  CHECK(word.valid());
  CHECK_FALSE(all.valid());
  CHECK(word.leased_to(7).deliveries == 4);
  CHECK(all.leased_to(7).deliveries == 255);
  CHECK(layout::work_end(1) < work_word::laps);
  CHECK(layout::work_end(1 << 24) == layout::work_end(1 << 17));
}

TEST_CASE("the file of a segment with an spsc_ring", "[layout]") {
  using ring = spsc_ring<tick, 64>;
  const std::vector<char> file = created(ring::traits, {});
  CHECK(std::string(file.data(), 8) == "Belfry\r\n");
  CHECK(at<std::uint32_t>(file, 8) == 3);
  CHECK(at<std::uint32_t>(file, 12) == layout::header_bytes(2, at<std::uint32_t>(file, 176)));
  CHECK(at<std::uint64_t>(file, 16) == file.size());
  CHECK(at<std::uint32_t>(file, 40) == 1);
  CHECK(at<std::uint32_t>(file, 44) == 0);
  CHECK(at<std::uint16_t>(file, 48) == 1);
  CHECK(at<std::uint16_t>(file, 50) == 1);
  CHECK(at<std::uint32_t>(file, 52) == 0600);
  CHECK(at<std::uint64_t>(file, 56) == 16);
  CHECK(at<std::uint64_t>(file, 64) == 8);
  CHECK(at<std::uint64_t>(file, 72) == type_fingerprint<tick>());
  CHECK(at<std::uint64_t>(file, 80) == 64);
  CHECK(at<std::uint64_t>(file, 88) == ring::traits.abi());
  CHECK(at<std::uint64_t>(file, 88) != 0);
  const auto ring_offset = at<std::uint64_t>(file, 96);
  CHECK(ring_offset == at<std::uint32_t>(file, 12));
  CHECK(at<std::uint64_t>(file, 104) == file.size() - ring_offset);
  CHECK(at<std::uint64_t>(file, 120) == 0);
  CHECK(at<std::uint64_t>(file, 128) == 65);  // places
  CHECK(at<std::uint64_t>(file, 144) == 16);  // stride
  CHECK(at<std::uint32_t>(file, 180) == static_cast<std::uint32_t>(::getpid()));
  CHECK(at<std::uint64_t>(file, 184) / 1'000'000'000 <= static_cast<std::uint64_t>(std::time(nullptr)));
  CHECK(std::string(program_invocation_short_name).starts_with(std::string(&file[192], ::strnlen(&file[192], 16))));
  // No participant, none parked, nothing counted.
  CHECK(std::all_of(file.begin() + 208, file.begin() + 1216, [](char c) { return c == 0; }));
}

TEST_CASE("the file of a segment with a byte_ring", "[layout]") {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  channel_options options;
  options.capacity = page + 1;  // rounded up to the next power of two
  options.lifetime = lifetime::persistent;
  options.mode = 0660;
  const std::vector<char> file = created(byte_ring::traits, options);
  CHECK(file.size() == page + 2 * page);
  CHECK(at<std::uint64_t>(file, 16) == file.size());
  CHECK(at<std::uint32_t>(file, 40) == 2);
  CHECK(at<std::uint32_t>(file, 44) == layout::flag_persistent);
  CHECK(at<std::uint32_t>(file, 52) == 0660);
  CHECK(at<std::uint64_t>(file, 56) == 0);
  CHECK(at<std::uint64_t>(file, 64) == 8);
  CHECK(at<std::uint64_t>(file, 72) == 0);
  CHECK(at<std::uint64_t>(file, 80) == 2 * page);
  CHECK(at<std::uint64_t>(file, 88) == 0);
  const auto ring_offset = at<std::uint64_t>(file, 96);
  CHECK(at<std::uint64_t>(file, 104) == file.size() - ring_offset);
  CHECK(at<std::uint64_t>(file, 128) == 0);                             // places
  CHECK(at<std::uint64_t>(file, 136) == file.size() - 2 * page - ring_offset);  // where the data begins
  CHECK(std::all_of(file.begin() + static_cast<std::ptrdiff_t>(ring_offset), file.end(), [](char c) { return c == 0; }));
}

TEST_CASE("every segment has a different random id", "[layout]") {
  const auto a = created(byte_ring::traits, of_bytes::options());
  const auto b = created(byte_ring::traits, of_bytes::options());
  CHECK(std::string(a.data() + 24, 16) != std::string(b.data() + 24, 16));
  CHECK(std::string(a.data() + 24, 16) != std::string(16, '\0'));
}

TEST_CASE("the bytes of a sent message in the file", "[layout]") {
  const std::string name = unique_name("record");
  net::io_context io;
  {
    of_bytes::channel::producer tx(io, name, of_bytes::options());
    REQUIRE(tx.try_send(as_message("hello")));
    REQUIRE(tx.try_send(as_message("12345678")));
    const std::vector<char> file = file_of(name);
    const std::size_t page = file.size() - 4096;
    const auto ring_offset = at<std::uint64_t>(file, 96);
    CHECK(at<std::uint64_t>(file, ring_offset) == 32);      // tail
    CHECK(at<std::uint64_t>(file, ring_offset + 64) == 0);  // head
    CHECK(at<std::uint32_t>(file, page) == 5);
    CHECK(at<std::uint32_t>(file, page + 4) == 0);
    CHECK(std::string(file.data() + page + 8, 5) == "hello");
    CHECK(at<std::uint32_t>(file, page + 16) == 8);
    CHECK(std::string(file.data() + page + 24, 8) == "12345678");
    // Slot 0, the producer's: generation 1, no deaths, no end, live; slot 1 is free.
    CHECK(at<std::uint64_t>(file, 832) == 0x0200'0000'0000'0001);
    CHECK(at<std::uint32_t>(file, 840) == static_cast<std::uint32_t>(::getpid()));
    CHECK(at<std::uint64_t>(file, 872) >= at<std::uint64_t>(file, 184));  // it joined after the creation
    CHECK(std::memcmp(&file[880], &file[192], 16) == 0);                  // by the same program
    CHECK(at<std::uint64_t>(file, 832 + 128) == 2);                       // messages sent
    CHECK(at<std::uint64_t>(file, 832 + 136) == 13);                      // bytes
    CHECK(at<std::uint64_t>(file, 832 + 192) == 0);
    CHECK(at<std::uint64_t>(file, 768) == 1);  // joins
  }
  of_bytes::channel::unlink(name);
}
