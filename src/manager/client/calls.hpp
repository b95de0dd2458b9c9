// Everything that a manager does, as calls.
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
/// The block, or list, as it is before it has a name.
call_ptr<shared_memory> block_call(client_ptr client, shared_memory nameless,
                                   std::string_view name);
call_ptr<shareable_list> block_call(client_ptr client, shareable_list nameless,
                                    std::string_view name);

/// One that has failed already.
template <class Result>
call_ptr<Result> failed_call(failure f) {
  class failed final : public manager_call_for<Result> {
   public:
    explicit failed(failure f) { this->error_ = std::move(f); }
    manager_call::wait proceed() override { return manager_call::wait::none; }
    native_handle_type socket() const noexcept override { return no_handle; }
  };
  return std::make_unique<failed>(std::move(f));
}

}  // namespace belfry::detail
