#include "backend/deriver.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/crypto.h"

namespace backend {
namespace {

class DeriveJob final : public io::Job {
 public:
  DeriveJob(std::string_view password, std::string_view salt, uint32_t iterations)
      : password_(password), salt_(salt), iterations_(iterations) {}
  void Run() override { keys_ = pg::DeriveScramKeys(password_, salt_, iterations_); }
  const pg::ScramKeys& keys() const { return keys_; }

 private:
  const std::string password_;
  const std::string salt_;
  const uint32_t iterations_;
  pg::ScramKeys keys_{};
};

}  // namespace

struct Deriver::Entry {
  bool derived = false;
  pg::ScramKeys keys{};
  std::vector<io::Event*> waiters;  // of those who came while it was being derived
};

Deriver::Deriver(io::Loop* loop, io::Worker* worker)
    : loop_(loop), worker_(worker), secret_(base::SecureRandom(32)) {}

Deriver::~Deriver() { CHECK(order_.size() == kept_.size()); }

std::string Deriver::KeyOf(std::string_view password, std::string_view salt,
                           uint32_t iterations) const {
  std::string text = std::to_string(iterations) + ":" + std::to_string(salt.size()) + ":";
  text += salt;
  text += password;
  const base::Sha256Digest digest = base::HmacSha256(secret_, text);
  return std::string(reinterpret_cast<const char*>(digest.data()), digest.size());
}

io::Task<pg::ScramKeys> Deriver::DeriveOnce(std::string_view password, std::string_view salt,
                                            uint32_t iterations) {
  CHECK(iterations >= 1 && iterations <= pg::kScramIterationsMax);
  ++derivations_;
  DeriveJob job(password, salt, iterations);
  co_await worker_->Run(loop_, &job);
  co_return job.keys();
}

io::Task<pg::ScramKeys> Deriver::Derive(std::string_view password, std::string_view salt,
                                        uint32_t iterations) {
  const std::string key = KeyOf(password, salt, iterations);
  const auto [found, created] = kept_.try_emplace(key);
  Entry& entry = found->second;  // stays where it is: what is being derived is never evicted
  if (!created && entry.derived) {
    co_return entry.keys;
  }
  if (!created) {
    io::Event derived(loop_);
    entry.waiters.push_back(&derived);
    co_await derived.Wait();
    // It may have been evicted since.
    const auto again = kept_.find(key);
    if (again != kept_.end() && again->second.derived) {
      co_return again->second.keys;
    }
    const pg::ScramKeys keys = co_await DeriveOnce(password, salt, iterations);
    co_return keys;
  }
  const pg::ScramKeys keys = co_await DeriveOnce(password, salt, iterations);
  entry.keys = keys;
  entry.derived = true;
  for (io::Event* waiter : std::exchange(entry.waiters, {})) {
    waiter->Raise(1);
  }
  order_.push_back(key);
  Evict();
  co_return keys;
}

void Deriver::Evict() {
  while (order_.size() > kDerivedMax) {
    kept_.erase(order_.front());
    order_.pop_front();
  }
}

}  // namespace backend
