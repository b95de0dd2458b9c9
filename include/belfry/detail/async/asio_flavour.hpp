// The name of the inline namespace for everything that uses Asio: which Asio, which version, which settings.
//
// The name contains every setting that changes the layout of Asio's objects, or how Asio uses them. If a program was
// compiled with other settings than the library, linking fails; otherwise the program would hang or crash. The linker
// names the missing symbol:
//
//     undefined reference to `belfry::detail::standalone_asio_102201_no_epoll::endpoint::open(...)'
#pragma once

#if defined(BELFRY_BOOST_ASIO)
#include <boost/version.hpp>
#define BELFRY_ASIO_KIND boost_asio_
#define BELFRY_ASIO_RELEASE BOOST_VERSION  // its error codes depend on the version of Boost, too
#else
#define BELFRY_ASIO_KIND standalone_asio_
#define BELFRY_ASIO_RELEASE ASIO_VERSION
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_ENABLE_HANDLER_TRACKING) \
                               : defined(ASIO_ENABLE_HANDLER_TRACKING)
#define BELFRY_ASIO_TRACKING _handler_tracking
#else
#define BELFRY_ASIO_TRACKING
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_ENABLE_BUFFER_DEBUGGING) \
                               : defined(ASIO_ENABLE_BUFFER_DEBUGGING)
#define BELFRY_ASIO_BUFFERS _buffer_debugging
#else
#define BELFRY_ASIO_BUFFERS
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_DISABLE_EPOLL) : defined(ASIO_DISABLE_EPOLL)
#define BELFRY_ASIO_EPOLL _no_epoll
#else
#define BELFRY_ASIO_EPOLL
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_HAS_IO_URING) : defined(ASIO_HAS_IO_URING)
#define BELFRY_ASIO_IO_URING _io_uring
#else
#define BELFRY_ASIO_IO_URING
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_DISABLE_EVENTFD) : defined(ASIO_DISABLE_EVENTFD)
#define BELFRY_ASIO_EVENTFD _no_eventfd
#else
#define BELFRY_ASIO_EVENTFD
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_DISABLE_THREADS) : defined(ASIO_DISABLE_THREADS)
#define BELFRY_ASIO_THREADS _no_threads
#else
#define BELFRY_ASIO_THREADS
#endif

// Asio defines this itself where there is no type information.
#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_NO_TYPEID) : defined(ASIO_NO_TYPEID)
#define BELFRY_ASIO_TYPEID _no_typeid
#else
#define BELFRY_ASIO_TYPEID
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC) \
                               : defined(ASIO_DISABLE_STD_ALIGNED_ALLOC)
#define BELFRY_ASIO_ALIGNED_ALLOC _no_aligned_alloc
#else
#define BELFRY_ASIO_ALIGNED_ALLOC
#endif

#if defined(BELFRY_BOOST_ASIO) ? defined(BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING) \
                               : defined(ASIO_DISABLE_SMALL_BLOCK_RECYCLING)
#define BELFRY_ASIO_RECYCLING _no_recycling
#else
#define BELFRY_ASIO_RECYCLING
#endif

// How many blocks of memory a thread keeps for reuse: 2, unless the program sets another number.
#if defined(BELFRY_BOOST_ASIO)
#if defined(BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE) && BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE != 2
#define BELFRY_ASIO_CACHE _cache_of_
#define BELFRY_ASIO_CACHE_SIZE BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE
#endif
#elif defined(ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE) && ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE != 2
#define BELFRY_ASIO_CACHE _cache_of_
#define BELFRY_ASIO_CACHE_SIZE ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE
#endif
#if !defined(BELFRY_ASIO_CACHE)
#define BELFRY_ASIO_CACHE
#define BELFRY_ASIO_CACHE_SIZE
#endif

// Not a setting of Asio. But shared classes have containers as members, and Asio turns buffer debugging on with it.
#if defined(_GLIBCXX_DEBUG)
#define BELFRY_ASIO_CONTAINERS _glibcxx_debug
#else
#define BELFRY_ASIO_CONTAINERS
#endif

#define BELFRY_ASIO_PASTED(a, b, c, d, e, f, g, h, i, j, k, l, m, n) \
  a##b##c##d##e##f##g##h##i##j##k##l##m##n
#define BELFRY_ASIO_PASTE(...) BELFRY_ASIO_PASTED(__VA_ARGS__)
#define BELFRY_ASIO_FLAVOUR                                                                          \
  BELFRY_ASIO_PASTE(BELFRY_ASIO_KIND, BELFRY_ASIO_RELEASE, BELFRY_ASIO_TRACKING, BELFRY_ASIO_BUFFERS, \
                    BELFRY_ASIO_EPOLL, BELFRY_ASIO_IO_URING, BELFRY_ASIO_EVENTFD,                    \
                    BELFRY_ASIO_THREADS, BELFRY_ASIO_TYPEID, BELFRY_ASIO_ALIGNED_ALLOC,              \
                    BELFRY_ASIO_RECYCLING, BELFRY_ASIO_CACHE, BELFRY_ASIO_CACHE_SIZE,                \
                    BELFRY_ASIO_CONTAINERS)
