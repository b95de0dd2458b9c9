// The opcodes that are used here, out of those in CPython's Lib/pickletools.py.
#pragma once

#include <cstdint>

namespace belfry::detail::pickle {

enum opcode : std::uint8_t {
  mark = 0x28,
  empty_tuple = 0x29,
  stop = 0x2e,
  binint = 0x4a,
  binint1 = 0x4b,
  binint2 = 0x4d,
  push_none = 0x4e,
  binunicode = 0x58,
  empty_list = 0x5d,
  append = 0x61,
  appends = 0x65,
  binget = 0x68,
  long_binget = 0x6a,
  make_tuple = 0x74,
  empty_dict = 0x7d,
  proto = 0x80,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  short_binunicode = 0x8c,
  memoize = 0x94,
  frame = 0x95,
};

}  // namespace belfry::detail::pickle
