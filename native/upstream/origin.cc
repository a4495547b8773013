#include "origin.h"

#include <algorithm>
#include <cstring>

#include <netdb.h>
#include <sys/un.h>

namespace dualmap::upstream {

bool Origin::init(uv_loop_t* loop, OriginOwner* owner, const std::string& host, int port,
                  uint64_t addressTtlMs) {
  loop_ = loop;
  owner_ = owner;
  host_ = host;
  addressTtlMs_ = addressTtlMs;
  Address address;
  if (port < 0) {
    auto* const unixAddress = reinterpret_cast<sockaddr_un*>(&address.storage);
    if (host.size() >= sizeof unixAddress->sun_path) return false;
    unixAddress->sun_family = AF_UNIX;
    std::memcpy(unixAddress->sun_path, host.c_str(), host.size() + 1);
    addresses_.push_back(address);
    return true;
  }
  service_ = std::to_string(port);
  const bool isNumeric =
      uv_ip4_addr(host.c_str(), port, reinterpret_cast<sockaddr_in*>(&address.storage)) == 0 ||
      uv_ip6_addr(host.c_str(), port, reinterpret_cast<sockaddr_in6*>(&address.storage)) == 0;
  isName_ = !isNumeric;
  if (isNumeric) addresses_.push_back(address);
  return true;
}

int Origin::resolve() {
  if (isResolving_) return 0;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  request_.data = this;
  isResolving_ = true;
  const int status = uv_getaddrinfo(
      loop_, &request_,
      [](uv_getaddrinfo_t* request, int outcome, addrinfo* found) {
        static_cast<Origin*>(request->data)->finishResolve(outcome, found);
        uv_freeaddrinfo(found);
      },
      host_.c_str(), service_.c_str(), &hints);
  // A name that can be none, such as one too long: nobody will call back.
  if (status < 0) isResolving_ = false;
  return status;
}

void Origin::cancelResolve() {
  if (isResolving_) uv_cancel(reinterpret_cast<uv_req_t*>(&request_));
}

void Origin::finishResolve(int status, const addrinfo* found) {
  isResolving_ = false;
  std::vector<Address> fresh;
  for (; found != nullptr && fresh.size() < addressesMax; found = found->ai_next) {
    Address address;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    fresh.push_back(address);
  }
  if (status == 0 && fresh.empty()) status = UV_EAI_NODATA;
  if (status == 0) {
    // Stay with the address in use if it is still there.
    const bool hadAddress = !addresses_.empty();
    const Address current = hadAddress ? address(0) : Address{};
    addresses_ = std::move(fresh);
    preferred_ = 0;
    if (hadAddress) prefer(current);
  }
  // While names cannot be looked up the old addresses serve on, without a look-up for every call.
  if (!addresses_.empty()) {
    freshUntilMs_ = uv_hrtime() / 1'000'000 + (status == 0 ? addressTtlMs_ : failedTtlMs);
  }
  owner_->onResolved(*this, status);
}

bool Origin::has(const Address& address) const {
  return std::find(addresses_.begin(), addresses_.end(), address) != addresses_.end();
}

void Origin::prefer(const Address& address) {
  const auto found = std::find(addresses_.begin(), addresses_.end(), address);
  if (found != addresses_.end()) preferred_ = static_cast<size_t>(found - addresses_.begin());
}

void Origin::avoid(const Address& address) {
  if (addresses_.empty() || !(this->address(0) == address)) return;
  preferred_ = (preferred_ + 1) % addresses_.size();
}

}  // namespace dualmap::upstream
