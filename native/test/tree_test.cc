// The ordered set of the queues against std::map.

#include "core/tree.h"

#include <map>
#include <vector>

#include "test.h"

namespace dualmap::test {
namespace {

/// Both, always with the same content.
struct Pair {
  explicit Pair(uint32_t nodesMax) : nodes(nodesMax + 1) {}

  void insert(uint32_t node, const TreeKey& key, uint64_t tokens) {
    nodes[node].key = key;
    nodes[node].tokens = tokens;
    tree().insert(node);
    model[key] = node;
  }

  void erase(uint32_t node) {
    model.erase(nodes[node].key);
    tree().erase(node);
  }

  Tree tree() { return Tree(nodes.data(), &root); }

  void checkSame() {
    uint64_t sum = 0;
    Tree::Cursor at(tree());
    CHECK_EQUAL(tree().first(), model.empty() ? 0 : model.begin()->second);
    for (const auto& [key, node] : model) {
      CHECK_EQUAL(at.node(), node);
      CHECK_EQUAL(tree().sumBefore(key), sum);
      sum += nodes[node].tokens;
      at.advance();
    }
    CHECK_EQUAL(at.node(), 0u);
    CHECK_EQUAL(tree().sum(), sum);
    CHECK_EQUAL(tree().isEmpty(), model.empty());
  }

  std::vector<TreeNode> nodes;
  uint32_t root = 0;
  std::map<TreeKey, uint32_t> model;
};

TEST(randomInsertsAndErasesAreThoseOfAMap) {
  constexpr uint32_t nodesMax = 200;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    Pair pair(nodesMax);
    std::vector<uint32_t> in, out;
    for (uint32_t node = 1; node <= nodesMax; ++node) out.push_back(node);
    uint64_t sequence = 0;
    for (int step = 0; step < 1500; ++step) {
      const bool grows = in.empty() || (!out.empty() && random.chance(step < 800 ? 0.6 : 0.4));
      auto& from = grows ? out : in;
      auto& to = grows ? in : out;
      const uint64_t at = random.below(from.size());
      const uint32_t node = from[at];
      from[at] = from.back();
      from.pop_back();
      to.push_back(node);
      if (grows) {
        // Few distinct priorities and values, so that all three parts of the key decide.
        const auto priority = static_cast<int32_t>(random.below(3)) - 1;
        const auto value = static_cast<double>(random.below(5)) - 2;
        pair.insert(node, {priority, value, ++sequence}, random.below(1000));
      } else {
        pair.erase(node);
      }
      if (step % 10 == 0) pair.checkSame();
      const TreeKey probe{0, static_cast<double>(random.below(5)) - 2, random.below(sequence + 2)};
      uint64_t before = 0;
      for (const auto& [key, held] : pair.model)
        before += key < probe ? pair.nodes[held].tokens : 0;
      CHECK_EQUAL(pair.tree().sumBefore(probe), before);
    }
    while (!in.empty()) {
      pair.erase(in.back());
      in.pop_back();
    }
    pair.checkSame();
  }
}

// Instances take their turns when prompts do: then the numbers of those that wait for one of them
// lie equally far apart, whatever the distance.
TEST(aTreeStaysFlatWhateverTheDistanceOfItsNumbers) {
  constexpr uint32_t nodesMax = 20'000;
  for (const uint64_t distance : {1u, 2u, 55u, 89u, 987u, 4181u, 1u << 16, 1u << 20}) {
    Pair pair(nodesMax);
    for (uint32_t node = 1; node <= nodesMax; ++node) {
      pair.insert(node, {0, static_cast<double>(node), node * distance}, 1);
    }
    uint32_t seen = 0;
    // The cursor ends the process when the tree is deep.
    for (Tree::Cursor at(pair.tree()); at.node() != 0; at.advance()) ++seen;
    CHECK_EQUAL(seen, nodesMax);
  }
}

}  // namespace
}  // namespace dualmap::test
