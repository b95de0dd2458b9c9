// What a segment says of itself: the text behind the roster.
//
//     {"belfry":"0.2.0",
//      "ring":{"kind":"spsc_ring","producers":1,"consumers":1,"capacity":4096,
//              "places":4097,"first":128,"stride":16,"value":0,"written":0,"read":64},
//      "type":{"name":"tick","bytes":16,"align":8,"kind":"struct","fields":[...]}}
//
// `belfry` is the version of the library that made the segment. `ring` repeats what the header says, for programs in
// other languages: places, first and so on are those of layout::geometry. `type` is as in description.hpp, and null for
// messages of any size. The text is at most layout::max_description bytes, and may end in spaces.
#pragma once

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/layout/type_description.hpp>

#include <string>
#include <string_view>

namespace belfry::detail {

std::string describe_segment(const layout::identity& id, const type_description* type);

/// The part about the type, as JSON. The text may be another process's: empty if there is none, or if it is no such
/// text.
std::string type_in(std::string_view segment_description);

/// What differs between the types of two segments, as `difference()` in description.hpp says it; empty if that cannot
/// be told.
std::string difference_of_types(std::string_view found, std::string_view expected);

}  // namespace belfry::detail
