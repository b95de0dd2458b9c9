// What the library exports. It is compiled with hidden visibility, so a program links nothing that is not marked: the
// classes and functions of the public headers, and those of the private ones that inline code of headers calls.
#pragma once

#if defined(__GNUC__) && !defined(_WIN32)
#define BELFRY_API __attribute__((visibility("default")))
#else
#define BELFRY_API
#endif
