// The error of the rule of residency against a true LRU.

#include <algorithm>
#include <cmath>
#include <list>
#include <unordered_map>

#include "chains.h"

namespace dualmap::test {
namespace {

class TrueLru {
 public:
  explicit TrueLru(size_t capacity) : capacity_(capacity) {}

  uint32_t hits(const Chain& chain) const {
    uint32_t count = 0;
    while (count < chain.size() && at_.count(chain[count]) > 0) ++count;
    return count;
  }

  void use(const Chain& chain) {
    for (size_t left = std::min(chain.size(), capacity_); left > 0; --left) {
      const uint64_t hash = chain[left - 1];
      if (const auto found = at_.find(hash); found != at_.end()) order_.erase(found->second);
      order_.push_front(hash);
      at_[hash] = order_.begin();
      if (order_.size() <= capacity_) continue;
      at_.erase(order_.back());
      order_.pop_back();
    }
  }

 private:
  size_t capacity_;
  std::list<uint64_t> order_;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> at_;
};

/// Documents of 1..40 blocks, asked for as 1 / rank^skew, each time with some blocks of its own.
class ZipfTrace {
 public:
  ZipfTrace(Random& random, size_t documents, double skew) : random_(random) {
    double sum = 0;
    for (size_t rank = 1; rank <= documents; ++rank) {
      sum += std::pow(static_cast<double>(rank), -skew);
      upTo_.push_back(sum);
      documents_.push_back(freshChain(random, 1 + random.below(40)));
    }
  }

  Chain next() {
    const double at = random_.fraction() * upTo_.back();
    const size_t rank = std::lower_bound(upTo_.begin(), upTo_.end(), at) - upTo_.begin();
    Chain chain = documents_[rank];
    const Chain own = freshChain(random_, random_.below(8));
    chain.insert(chain.end(), own.begin(), own.end());
    return chain;
  }

 private:
  Random& random_;
  std::vector<double> upTo_;
  std::vector<Chain> documents_;
};

// design.md: the residency rule errs by less than 5 % of the blocks that a true LRU hits.
TEST(residencyIsCloseToATrueLru) {
  Random random(20);
  for (const double skew : {0.8, 1.0, 1.2}) {
    for (const size_t capacity : {500, 2000}) {
      Fleet fleet(roomy());
      PrefixIndex index(fleet.state);
      const uint32_t slot = fleet.add(capacity);
      TrueLru lru(capacity);
      ZipfTrace trace(random, 1000, skew);
      double hits = 0;
      double wrong = 0;
      for (int i = 0; i < 4000; ++i) {
        const Chain chain = trace.next();
        const uint32_t want = lru.hits(chain);
        if (i >= 500) {
          hits += want;
          wrong += std::abs(static_cast<double>(hitsOf(index, chain, slot)) - want);
        }
        insert(index, chain, slot, i);
        lru.use(chain);
      }
      CHECK_THAT(hits > 0 && wrong < 0.05 * hits, std::to_string(skew) + ", " +
                                                      std::to_string(capacity) + ": " +
                                                      std::to_string(wrong / hits));
    }
  }
}

}  // namespace
}  // namespace dualmap::test
