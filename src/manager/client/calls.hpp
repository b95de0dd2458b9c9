// The requests of shared_memory_manager, as calls.
#pragma once

#include "client.hpp"

#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail {

call_ptr<nothing> start_call(client_ptr client);
call_ptr<nothing> connect_call(client_ptr client);
call_ptr<nothing> release_call(client_ptr client, std::string_view name);
call_ptr<nothing> shutdown_call(client_ptr client);
call_ptr<std::vector<std::string>> list_call(client_ptr client);
/// Gives a block or list without a name its name, and has the server track it.
call_ptr<shared_memory> block_call(client_ptr client, shared_memory nameless,
                                   std::string_view name);
call_ptr<shareable_list> block_call(client_ptr client, shareable_list nameless,
                                    std::string_view name);

/// A call that has already failed.
template <class Result>
call_ptr<Result> failed_call(failure f) {
  class failed final : public manager_call_for<Result> {
   public:
    explicit failed(failure f) { this->error_ = std::move(f); }
    manager_call::wait proceed() override { return manager_call::wait::none; }
    native_socket_type socket() const noexcept override { return no_socket; }
  };
  return std::make_unique<failed>(std::move(f));
}

}  // namespace belfry::detail
