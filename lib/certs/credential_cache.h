// What was read of deferred credentials (lazy loading): the most recently used ones, up to a limit, for all threads.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "certs/fault.h"
#include "tls/credential.h"

namespace postern::certs {

class CredentialCache {
 public:
  using CredentialPtr = std::shared_ptr<const tls::Credential>;

  explicit CredentialCache(std::size_t capacity) : capacity_(capacity) {}

  /// The whole of a listed credential; null: it has to be fetched. For event loops: takes a short lock.
  CredentialPtr find(const CredentialPtr& listed) noexcept;

  struct Fetched {
    Result<CredentialPtr> credential;
    std::optional<Fault> new_fault;  ///< that the fetch before did not have: to be logged
  };
  /// Reads the files, blocking, unless another thread has done so meanwhile.
  Fetched fetch(const CredentialPtr& listed);

  /// What could not be read when it was wanted last, of credentials that are still listed somewhere.
  std::vector<Fault> faults() const;

  void set_capacity(std::size_t capacity);
  std::size_t size() const;

 private:
  struct Entry {
    CredentialPtr listed;  // held, so that its address stays its own
    CredentialPtr whole;
  };
  struct Failure {
    std::weak_ptr<const tls::Credential> listed;
    Fault fault;
  };
  using Entries = std::list<Entry>;

  CredentialPtr find_locked(const CredentialPtr& listed) noexcept;
  void take(const CredentialPtr& listed, CredentialPtr whole);
  std::optional<Fault> note_failure(const CredentialPtr& listed, Fault fault);
  void drop_surplus(Entries& dropped);

  mutable std::mutex mutex_;
  std::size_t capacity_;
  Entries entries_;  // most recently used first
  std::unordered_map<const tls::Credential*, Entries::iterator> index_;
  std::unordered_map<const tls::Credential*, Failure> failures_;
};

}  // namespace postern::certs
