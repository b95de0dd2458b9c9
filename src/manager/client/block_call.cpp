// Makes a block or list that the manager tracks.
#include "../../blocks/block_maker.hpp"
#include "../../platform/block.hpp"
#include "calls.hpp"
#include "requesting.hpp"

#include <optional>
#include <string>
#include <utility>

namespace belfry::detail {
namespace {

/// With Belfry's server the block is tracked, by its inode, before it gets its name: if this process is
/// killed at any point, the server removes this block, and no other block of the same name. CPython's server
/// needs the name first.
template <class Holder>
class making final : public requesting<Holder> {
  using base = requesting<Holder>;
  using question = request_chain::question;

 public:
  making(client_ptr client, Holder nameless, std::string_view name)
      : base(std::move(client)), name_(name), generate_(name.empty()) {
    this->result_ = std::move(nameless);
  }
  ~making() override {
    failure ignored;
    if (published_ && !tracked_) platform::unlink_block(name_, ignored);  // cancelled in between
  }

 private:
  std::optional<question> next() override {
    if (published_) return std::nullopt;
    if (this->client().kind() == server_kind::cpython) {
      published_ = block().publish_as(name_, this->error_);
      if (!published_) return std::nullopt;
      name_ = block().name();
      return base::ask("track_segment", name_);
    }
    if (!taken_ && generate_) name_ = block_maker::new_name(this->error_);
    if (this->error_) return std::nullopt;
    // If the name belongs to another block, the server must no longer track ours under it.
    question q = base::ask(taken_ ? "release_segment" : "track_segment", name_);
    q.arguments.items.emplace_back(std::to_string(block().id()));
    return q;
  }

  void answered(client_session& s) override {
    if (std::exchange(taken_, false)) {
      if (!generate_) this->error_ = std::exchange(publishing_, {});
      return;
    }
    if (!this->accept(s, "track_segment")) return;
    if (published_) {
      tracked_ = true;
      return;
    }
    tracked_ = published_ = block().publish(name_, publishing_);
    if (published_) return;
    taken_ = publishing_.code == std::errc::file_exists;
    if (!taken_) this->error_ = publishing_;
  }

  block_maker block() noexcept { return block_maker(this->result_); }

  std::string name_;
  const bool generate_;
  bool published_ = false;
  bool tracked_ = false;
  bool taken_ = false;  // the name belongs to another block
  failure publishing_;
};

}  // namespace

call_ptr<shared_memory> block_call(client_ptr client, shared_memory nameless,
                                   std::string_view name) {
  return std::make_unique<making<shared_memory>>(std::move(client), std::move(nameless), name);
}

call_ptr<shareable_list> block_call(client_ptr client, shareable_list nameless,
                                    std::string_view name) {
  return std::make_unique<making<shareable_list>>(std::move(client), std::move(nameless), name);
}

}  // namespace belfry::detail
